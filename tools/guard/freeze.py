"""Runs a process for each part on one tree, and counts what it wrote."""

import atexit
import functools
import hashlib
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata

HERE = pathlib.Path(__file__).resolve().parent

PARTS = ("names", "errors", "commands", "deploy", "zoo", "qat", "integer", "onnx")
# Where an entry that raises is a model that cannot be frozen.
MODELS = ("deploy", "zoo", "qat", "integer", "onnx")
RAISED = "raised"
# Where the frames of what was raised are; they name private files, so nobody compares them.
LOG = "raised.log"
_PINNED = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "agg",
}
_AROUND = ("__init__.py", "__main__.py", "compare.py", "trees.py")
_MAKERS = ("numpy", "tensorflow", "tf_keras", "onnx", "onnxruntime", "ai-edge-litert")


def state() -> str:
    """A hash of what else frozen results depend on: the guard, packages, the machine.

    Not of how trees are laid out and compared, so that one may mend that in between.
    """
    found = hashlib.sha256(
        f"{sys.version} {platform.machine()} {_processor()}".encode()
    )
    files = [file for file in HERE.rglob("*.py") if file.name not in _AROUND]
    for file in sorted(files):
        found.update(file.relative_to(HERE).as_posix().encode() + file.read_bytes())
    for name in _MAKERS:
        found.update(f"{name} {metadata.version(name)}".encode())
    return found.hexdigest()[:12]


def tree(folder: pathlib.Path, to: pathlib.Path, parts: list[str]) -> int:
    """Freezes parts of a tree into a folder; 1 if a model raised, else 0."""
    raised = 0
    for part in parts:
        before = _seconds()
        _part(folder.resolve(), to.resolve(), part)
        files = sorted((to / part).glob("*.json"))
        failed = [f.stem for f in files if RAISED in json.loads(f.read_text())]
        said = f"{part:9} {len(files):4} entries {_seconds() - before:6.1f} s of CPU"
        if part in MODELS:
            said += f", {len(failed)} models raised"
            raised += len(failed)
        if failed:
            said += f": {', '.join(failed)} (see {to / part / LOG})"
        print(f"guard: {said}", file=sys.stderr, flush=True)
    return int(raised > 0)


def _part(folder: pathlib.Path, to: pathlib.Path, part: str) -> None:
    """Writes the part whole or not at all."""
    to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory(dir=to, prefix=".") as beside,
    ):
        written = pathlib.Path(beside, part)
        written.mkdir()
        path = os.pathsep.join([str(folder), _own_copy()])
        done = subprocess.run(
            [sys.executable, "-m", "guard.worker", part, str(folder), str(written)],
            cwd=scratch,  # else the checkout around would be imported
            env=os.environ | _PINNED | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"guard: the part {part} stopped.\n{done.stderr[-4000:]}")
        shutil.rmtree(to / part, ignore_errors=True)
        written.rename(to / part)


@functools.cache
def _own_copy() -> str:
    """The folder of a copy of the guard, so that all parts and trees meet the same one."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    shutil.copytree(HERE, pathlib.Path(folder, HERE.name))
    return folder


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line for line in lines if line.startswith("model name")), "")
