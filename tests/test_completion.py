"""Words are completed by a real bash, in which a user types and presses Tab."""

import contextlib
import io
import json
import os
import re
import select
import shutil
import subprocess
import time

import pytest

from larqlite import cli
from larqlite_zoo import cli as zoo_cli

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None, reason="there is no bash to ask"
)


def _printed(main, *words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(list(words))
    return out.getvalue()


class Bash:
    """An interactive bash with the scripts of both commands."""

    def __init__(self, folder):
        (folder / "lq.bash").write_text(_printed(cli.main, "completion", "bash"))
        (folder / "lqz.bash").write_text(_printed(zoo_cli.main, "completion", "bash"))
        self._terminal, inside = os.openpty()
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            cwd=folder,
            env=os.environ | {"TERM": "dumb", "INPUTRC": os.devnull, "HISTFILE": ""},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        self._say(
            "source lq.bash; source lqz.bash; bind 'set bell-style none'; "
            # Control-X shows what stands on the line, and takes it away.
            """bind -x '"\\C-x": printf "<%s>" "$READLINE_LINE"; READLINE_LINE='; """
            "printf '<%s>' begun\n"
        )
        self._answer(r"<begun>")

    def completed(self, words):
        """What stands on the line after Tab."""
        self._say(f"{words}\t\x18")
        return self._answer(r"<([^<>]*)>")

    def close(self):
        self._say("exit\n")
        self._process.wait(60)
        os.close(self._terminal)

    def _say(self, text):
        os.write(self._terminal, text.encode())

    def _answer(self, pattern):
        read, end = "", time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([self._terminal], [], [], 0.1)[0]:
                read += os.read(self._terminal, 65536).decode(errors="replace")
            if found := list(re.finditer(pattern, read)):
                return found[-1].group(found[-1].lastindex or 0)
        raise AssertionError(read)


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for name in ("net.keras", "data.npz"):
        (folder / name).touch()
    (folder / "my models").mkdir()
    found = Bash(folder)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("lq su", "lq summary "),
        ("lq --ver", "lq --version "),
        ("lq summary n", "lq summary net.keras "),
        ("lq summary my", "lq summary my\\ models/"),
        ("lq summary net.keras --js", "lq summary net.keras --json "),
        ("lq plot history d", "lq plot history data.npz "),
        ("lq integer ex", "lq integer export "),
        ("lq integer export --to q", "lq integer export --to qdq "),
        ("lq integer export --to=t", "lq integer export --to=tflite "),
        ("lq qat net.keras --data d", "lq qat net.keras --data data.npz "),
        ("lq export net.keras --no", "lq export net.keras --no-verify "),
        ("lq run net.keras --prof", "lq run net.keras --profile "),
        ("lq benchmark --threads d", "lq benchmark --threads d"),
        ("lqz ca", "lqz card "),
        ("lqz card binary_v", "lqz card binary_vgg_small "),
        ("lqz evaluate net.keras --prep", "lqz evaluate net.keras --preprocessing "),
    ],
)
def test_tab_completes_commands_flags_values_and_files(bash, words, completed):
    assert bash.completed(words) == completed


@pytest.mark.parametrize("main", [cli.main, zoo_cli.main])
def test_zsh_has_the_same_flags_with_what_they_are(main):
    scripts = {shell: _printed(main, "completion", shell) for shell in ("bash", "zsh")}
    flags = {
        shell: set(re.findall(r"--[a-z][a-z-]+", text))
        for shell, text in scripts.items()
    }
    assert flags["bash"] <= flags["zsh"]
    assert "--json:Print JSON" in scripts["zsh"]
    assert scripts["zsh"].startswith("#compdef ")


def test_the_script_as_data_is_the_script():
    found = json.loads(_printed(cli.main, "completion", "zsh", "--json"))
    assert found["script"] == _printed(cli.main, "completion", "zsh")
    assert (found["program"], found["shell"]) == ("lq", "zsh")


def test_the_flag_that_it_was_still_works_and_says_so(capsys):
    cli.main(["--tyro-print-completion", "bash"])
    out, err = capsys.readouterr()
    assert "complete -o default" in out
    assert err == "lq: --tyro-print-completion is lq completion now.\n"
