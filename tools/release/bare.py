"""What is asked of larqlite-runtime in an environment that holds it and NumPy alone.

Runs there by itself: `python bare.py FOLDER [STARTER]`, with packed files in the folder. It
prints what was found as JSON, and ends with an error where something is not as promised.
"""

import hashlib
import importlib.util
import json
import platform
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import numpy as np

import larqlite_runtime
from larqlite_runtime.reader import encode

# Packed files, the tensor up to which the kernels run them, and whether all of it is sums of
# bits and what follows them, which every instruction set and NumPy compute to the same bit.
FILES = {
    "deploy_ternary.onnx": (None, True),
    "deploy_kbit.onnx": ("batch_normalization:0", True),
    "deploy_residual.onnx": ("global_average_pooling2d/ReduceMean:0", False),
}
WITH_SOFTMAX = "deploy_residual.onnx"  # as a whole: NumPy runs its end
ISAS = ("amx", "avx512", "avx2", "neon", "portable", "numpy")
MOST_MILLISECONDS = 60
RUNS = 5


def main(folder: Path, starter: str | None = None) -> dict:
    """All of it.

    Args:
        folder: with the files.
        starter: a program that starts this Python in an emulator, where times say nothing.
    """
    python = starter or sys.executable
    version = metadata.version("larqlite-runtime")
    require(larqlite_runtime.__version__ == version, "__version__ is not the package's")
    home = Path(larqlite_runtime.__file__).parent
    require("site-packages" in home.parts, f"it is not installed: {home}")
    require((home / "py.typed").is_file(), "py.typed is missing")
    for name in ("tensorflow", "larqlite", "onnxruntime", "onnx"):
        require(importlib.util.find_spec(name) is None, f"{name} is installed")
    runs_in_numpy(folder / WITH_SOFTMAX)
    needs_onnxruntime()
    isa = larqlite_runtime.load(folder / "deploy_ternary.onnx").isa
    require(isa == fastest_isa() or fastest_isa() is None, f"runs on {isa} only")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "version": version,
        "isa": isa,
        "outputs": {name: outputs_of(folder, name) for name in FILES},
        "commands": commands(folder, version, python),
        "import": {} if starter else import_times(),
    }


def require(is_so: bool, what: str) -> None:
    """Ends the process with a message if something is not as promised."""
    if not is_so:
        sys.exit(f"bare: {what}")


def fastest_isa() -> str | None:
    """What the processor has, as Linux says it; None if it cannot be told."""
    if platform.machine() == "aarch64":
        return "neon"
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    has = set(flags[1].split()) if flags else set()
    if has >= {"amx_tile", "amx_int8", "amx_bf16"}:
        return "amx"
    counts = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vpopcntdq"}
    return "avx512" if has >= counts else "avx2" if has >= {"avx2", "fma"} else None


def runs_in_numpy(path: Path) -> None:
    """A float dense layer and a softmax need nothing else."""
    model = larqlite_runtime.load(path)
    found = model(np.ones((2, *model.inputs[0].shape[1:]), np.float32))
    require(np.allclose(found.sum(-1), 1), f"{path.name}: no probabilities: {found}")


def needs_onnxruntime() -> None:
    """An operation that NumPy lacks is refused with the extra that runs it."""
    sizes = {"dim": [{"dim_param": "batch"}, {"dim_value": 3}]}
    kind = {"tensor_type": {"elem_type": 1, "shape": sizes}}
    x, y = ({"name": name, "type": kind} for name in "xy")
    node = {"input": ["x"], "output": ["y"], "name": "error", "op_type": "Erf"}
    graph = {"name": "graph", "node": [node], "input": [x], "output": [y]}
    opset = [{"domain": "", "version": 18}]
    model = {"ir_version": 9, "graph": graph, "opset_import": opset}
    try:
        larqlite_runtime.load(encode("Model", model))
    except larqlite_runtime.MissingOnnxRuntimeError as error:
        fix = 'pip install "larqlite-runtime[onnxruntime]"'
        require(fix in str(error), f"no fix in: {error}")
    else:
        require(False, "Erf runs without ONNX Runtime")


def outputs_of(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of what comes out, by instruction set that there is here."""
    tensor, is_exact = FILES[name]
    found = {}
    for isa in ISAS:
        wanted = None if tensor is None else [tensor]
        model = larqlite_runtime.load(folder / name, threads=2, isa=isa, outputs=wanted)
        if model.isa == isa:
            rng = np.random.default_rng(0)
            # Fractions that floats hold exactly, so that they are the same everywhere.
            x = {
                item.name: (rng.integers(-512, 512, (5, *item.shape[1:])) / 256).astype(
                    "f"
                )
                for item in model.inputs
            }
            y = model.run(x)
            parts = [np.ascontiguousarray(y[key]).tobytes() for key in sorted(y)]
            found[isa] = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    require(len(found) > 1, f"no native kernels: {found}")
    require(
        not is_exact or len(set(found.values())) == 1, f"{name}: sets differ: {found}"
    )
    return found


def commands(folder: Path, version: str, python: str) -> list[str]:
    """Runs what `lq` does by itself; returns the lines that were run."""
    program = Path(sysconfig.get_path("scripts")) / "lq"
    module = [python, "-m", "larqlite_runtime"]
    ways = [module, *([[str(program)]] if program.exists() else [])]
    data = folder / "bare.npz"
    np.savez(data, np.zeros((3, 8, 6, 4), np.float32))
    file = str(folder / "deploy_ternary.onnx")
    done = []
    for way in ways:
        for words, said in (
            (["--version"], version),
            (["--help"], "benchmark"),
            (["run", file, "--data", str(data)], "3 samples"),
            (["explain", file], "depthwise"),
            (["benchmark", file, "--seconds", "0.05"], "packed kernels"),
        ):
            line = " ".join([Path(way[-1]).name, *words[:1]])
            ran = subprocess.run([*way, *words], capture_output=True, text=True)
            require(ran.returncode == 0, f"{line}: {ran.stdout}{ran.stderr}")
            require(said in ran.stdout, f"{line} says: {ran.stdout}")
            done.append(line)
        ran = subprocess.run([*way, "summary", "x"], capture_output=True, text=True)
        is_named = "Fix: pip install larqlite" in ran.stderr
        require(ran.returncode == 2 and is_named, f"lq summary: {ran.stderr}")
    return done


def import_times() -> dict[str, float]:
    """Milliseconds of a processor: the least of several processes, over an empty one."""
    times = {}
    for name, line in (
        ("nothing", ""),
        ("numpy", "import numpy"),
        ("larqlite_runtime", "import larqlite_runtime"),
        ("load", "import larqlite_runtime; larqlite_runtime.load"),
    ):
        code = f"import time; {line}\nprint(time.process_time())"
        runs = [
            float(subprocess.check_output([sys.executable, "-c", code]))
            for _ in range(RUNS)
        ]
        times[name] = round(1e3 * min(runs), 1)
    found = {name: round(ms - times["nothing"], 1) for name, ms in times.items()}
    own = found["larqlite_runtime"]
    require(own <= MOST_MILLISECONDS, f"the import takes {own} ms")
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:])))
