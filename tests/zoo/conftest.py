"""What the tests of the command `lqz` share."""

import pytest

from larqlite_zoo import cli


@pytest.fixture
def lqz(capsys):
    """Runs `lqz ARGUMENTS` in this process; gives back what it printed."""

    def run(arguments):
        cli.main(arguments.split())
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(lqz, capsys):
    """Runs `lqz ARGUMENTS`, which must exit with 2 and print nothing but stderr."""

    def run(arguments):
        with pytest.raises(SystemExit) as exit_:
            lqz(arguments)
        captured = capsys.readouterr()
        assert exit_.value.code == 2
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err

    return run
