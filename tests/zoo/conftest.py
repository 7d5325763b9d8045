"""What tests of the zoo share: the command `lqz`, and what they need not wait for."""

import pytest

from larqlite_zoo import cli
from tests.zoo import training_process
from tests.zoo.toys import zero_kernels


@pytest.fixture(autouse=True)
def _curves_are_not_drawn(monkeypatch):
    """Of the run that `test_cli_runs.py` begins with they are."""
    training_process.draw_no_curves(monkeypatch.setattr)


@pytest.fixture
def kernels_of_zeros():
    """For tests that look at shapes or load all weights."""
    with zero_kernels():
        yield


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
