"""Ctrl-C at several moments of a command: one line, exit code 130, nothing half-written."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import tf_keras

import larqlite as lq

ROOT = Path(__file__).resolve().parent.parent
# What is about to be called when Ctrl-C is pressed, in a command that exports.
MOMENTS = {
    "a model is read": "larqlite.models.load",
    "layers are converted": "larqlite.deploy.exporter._export.finished_graph",
    "the file is verified": "larqlite.deploy.exporter._export.require_exact",
    "the file is written": "os.fsync",
    "the file takes its place": "os.replace",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.keras"
    layer = lq.layers.QuantDense(
        3, input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )  # fmt: skip
    tf_keras.Sequential([tf_keras.Input((8,)), layer]).save(path)
    return path


def pressed(tmp_path, saved, run_fork, moment, words):
    """What is on the error stream of a command that is interrupted, its exit code, and
    what is in the folder."""
    (tmp_path / "net.keras").write_bytes(saved.read_bytes())
    (tmp_path / "old.onnx").write_bytes(b"\x08older")
    module, _, name = moment.rpartition(".")
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.orig_argv = ["python", "-m", "larqlite", *{words!r}]
from larqlite_runtime import cli
import larqlite
larqlite.load_everything()
import larqlite.deploy, importlib
module = importlib.import_module({module!r})
do = getattr(module, {name!r})

def press(*arguments, **options):
    setattr(module, {name!r}, do)
    os.kill(os.getpid(), signal.SIGINT)
    return do(*arguments, **options)

setattr(module, {name!r}, press)
sys.stderr = open("errors", "w")
try:
    cli.main({words!r})
except SystemExit as exit_:
    sys.stderr.close()
    print("exit code", exit_.code)
"""
    printed = run_fork(textwrap.dedent(code))
    found = {path.name for path in tmp_path.iterdir()}
    return printed, (tmp_path / "errors").read_text(), found


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_one_line_and_leaves_what_was_there(
    tmp_path, saved, run_fork, moment
):
    words = ["export", "net.keras", "old.onnx"]
    printed, said, found = pressed(tmp_path, saved, run_fork, MOMENTS[moment], words)
    assert (printed, said) == ("exit code 130\n", "lq: stopped\n")
    assert found - {"errors"} == {"net.keras", "old.onnx"}
    assert (tmp_path / "old.onnx").read_bytes() == b"\x08older"


def interrupted(folder, begun, *words):
    """A process that gets Ctrl-C once there is a file `begun`: its code and its output."""
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes what it runs in the background deaf to interruptions.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        end = time.monotonic() + 120
        while not begun.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


WAIT = """
import pathlib, time
pathlib.Path("begun").touch()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("argparse", "-m larqlite --help"),  # the first modules of all
        ("tyro", "-m larqlite summary net.keras"),
        ("numpy", "-m larqlite run net.onnx --data x.npz"),
        ("argparse", "-m larqlite_zoo list"),
    ],
)
def test_ctrl_c_while_modules_are_imported(tmp_path, module, words):
    (tmp_path / f"{module}.py").write_text(WAIT)
    program = "lqz" if "zoo" in words else "lq"
    found = interrupted(tmp_path, tmp_path / "begun", *words.split())
    assert found == (130, "", f"{program}: stopped\n")


def test_ctrl_c_when_all_is_done_and_in_a_destructor(tmp_path):
    """Python calls what is registered at its end; a destructor cannot raise."""
    code = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.orig_argv = ["python", "-m", "larqlite", "run"]
from larqlite_runtime import cli, start
from larqlite_runtime.commands import run_lq

class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def work(self):
    Late() if sys.argv[1] == "destructor" else atexit.register(Late)
    print("done", flush=True)

from larqlite_runtime.commands import RunOptions
RunOptions.run = work
cli.main(["run", "net.onnx", "--data", "x.npz"])
"""
    for moment, printed in (("destructor", ""), ("end", "done\n")):
        result = subprocess.run(
            [sys.executable, "-c", code, moment],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = (result.returncode, result.stdout, result.stderr)
        assert found == (130, printed, "lq: stopped\n"), moment
