"""What was built, looked at and installed in bare environments."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import build, trees

GOLDEN = trees.ROOT / "tests" / "golden"
BARE = Path(__file__).with_name("bare.py")
# What a source distribution must not carry: tests that could not run there.
_STRAY = ("tests/", "docs/", "notebooks/", "test_", ".so")


def contents(files: Sequence[Path]) -> None:
    """Sizes, and what is in the archives.

    Raises:
        ValueError: one is too large, or holds what it must not.
    """
    for file in files:
        size = file.stat().st_size
        print(f"{size:>10,}  {file.name}")
        if file.suffix == ".whl":
            names = zipfile.ZipFile(file).namelist()
        else:
            with tarfile.open(file) as archive:
                names = [name.partition("/")[2] for name in archive.getnames()]
            stray = [name for name in names if any(word in name for word in _STRAY)]
            if stray:
                raise ValueError(f"{file.name} holds {', '.join(stray[:5])}")
        if file.name.startswith("larqlite_runtime-") and file.suffix == ".whl":
            if size > build.MOST_BYTES:
                raise ValueError(
                    f"{file.name} has more than {build.MOST_BYTES:,} bytes"
                )
            if "larqlite_runtime/_kernels.so" not in names:
                raise ValueError(f"{file.name} holds no kernels")
            run(sys.executable, "-m", "auditwheel", "show", file)
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def runtime(python: str, install: Path, work: Path) -> dict:
    """Installs the runtime with NumPy alone, and asks of it what `bare.py` asks.

    Args:
        python: a program.
        install: a wheel, or the source distribution.
        work: a folder that is not there, for the environment.

    Returns:
        What `bare.py` found.
    """
    bare = _environment(python, work, install)
    files = copied(work / "files")
    found = json.loads(run(bare, BARE, files, cwd=work, shown=False))
    print(f"{install.name} on Python {found['python']}: {json.dumps(found)}")
    return found


def onnxruntime(python: str, wheel: Path, work: Path) -> None:
    """With the extra, a file with float parts runs."""
    bare = _environment(python, work, f"{wheel}[onnxruntime]")
    code = f"import larqlite_runtime as r; r.load(r'{GOLDEN / 'deploy_residual.onnx'}')"
    run(bare, "-c", code, cwd=work)


def both(python: str, runtime_wheel: Path, wheel: Path, work: Path) -> None:
    """Installs both with all that they need; `lq` stays when larqlite goes."""
    bare = _environment(python, work, runtime_wheel, wheel)
    code = """
import larqlite as lq, larqlite_runtime, larqlite_zoo, numpy as np, tf_keras
layers = [lq.layers.QuantDense(4, input_quantizer="ste_sign", input_shape=(8,))]
model = tf_keras.Sequential(layers)
model.save("net.keras")
lq.deploy.export(model, "net.onnx")
x = np.ones((2, 8), "float32")
assert np.allclose(larqlite_runtime.load("net.onnx")(x), model(x), atol=1e-6)
assert larqlite_zoo.list_models()
"""
    run(bare, "-c", code, cwd=work)
    scripts = bare.parent
    for line in ("lq --version", "lq summary net.keras", "lqz --help", "lqz list"):
        program, *words = line.split()
        run(scripts / program, *words, cwd=work)
    run(bare, "-m", "pip", "uninstall", "--yes", "--quiet", "larqlite")
    run(scripts / "lq", "--version", cwd=work)
    if (scripts / "lqz").exists():
        raise ValueError("lqz is still there without larqlite")


def same_outputs(found: Sequence[dict]) -> None:
    """All that ran the same file on the same instruction set got the same bits.

    Raises:
        ValueError: two of them did not.
    """
    seen: dict[tuple[str, str], str] = {}
    for one in found:
        for name, by_isa in one["outputs"].items():
            for isa, digest in by_isa.items():
                # NumPy's own sums of floats are those of its build.
                key = (name, f"{isa} {one['machine']}" if isa == "numpy" else isa)
                if seen.setdefault(key, digest) != digest:
                    raise ValueError(f"{name} on {isa}: {digest} is not {seen[key]}")
    print(f"the same bits: {len(seen)} pairs of file and instruction set")


def _environment(python: str, work: Path, *install: object) -> Path:
    """The Python of a new environment, in which pip finds nothing to complain of."""
    shutil.rmtree(work, ignore_errors=True)
    run(python, "-m", "venv", work)
    bare = work / "bin" / "python"
    run(bare, "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    run(bare, "-m", "pip", "install", "--quiet", *install)
    run(bare, "-m", "pip", "check")
    return bare


def copied(folder: Path) -> Path:
    """A new folder with the packed files that are run."""
    folder.mkdir(parents=True)
    for file in GOLDEN.glob("deploy_*.onnx"):
        shutil.copy2(file, folder)
    return folder


def run(
    *command: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    shown: bool = True,
) -> str:
    """What a command prints.

    Args:
        command: its words.
        cwd: the folder that it runs in.
        env: its environment; that of this process by default.
        shown: whether it is printed here, too.

    Raises:
        ValueError: it failed; with all that it said.
    """
    words = [str(word) for word in command]
    ran = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    if ran.returncode:
        raise ValueError(f"{' '.join(words)} failed:\n{ran.stdout}{ran.stderr}")
    if shown and ran.stdout.strip():
        print(ran.stdout.rstrip())
    return ran.stdout
