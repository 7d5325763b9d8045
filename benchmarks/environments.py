"""The Python of each side; an environment of a peer is created when it is first needed."""

import os
import pathlib
import subprocess
import sys
import venv
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Both sides should use the same of these.
SHARED = ("tensorflow", "tf-keras", "numpy", "packaging")


@dataclass(frozen=True)
class Environment:
    """What is installed for a peer.

    Args:
        packages: the peers, without their own lists of requirements, since those name
            versions that no present TensorFlow works with.
        needs: what they need to be imported, at the versions of this project.
        pins: versions in place of this project's, where a peer works with no other.
        reads_larqlite: whether its side builds networks with this checkout's larqlite.
        constrained: whether what `needs` leaves open is taken from this project.
        settings: variables of the environment while the peers are installed.
    """

    packages: tuple[str, ...]
    needs: tuple[str, ...]
    pins: tuple[str, ...] = ()
    reads_larqlite: bool = False
    constrained: bool = True
    settings: dict[str, str] = field(default_factory=dict)


ENVIRONMENTS = {
    "larq": Environment(
        packages=(
            *("larq==0.14.0", "larq-zoo==2.4.0", "zookeeper==1.4.0"),
            "terminaltables==3.1.10",
        ),
        needs=(*SHARED, "click", "pyyaml", "typeguard", "tensorflow-datasets"),
    ),
    "tfmot": Environment(
        packages=("tensorflow-model-optimization==0.8.1",),
        needs=(*SHARED, "absl-py", "dm-tree", "six"),
    ),
    # It reads larqlite's models as Larq's, and is built for NumPy 1; ml-dtypes 0.6 is not.
    "lce": Environment(
        packages=(
            "larq-compute-engine==0.16.0",
            "larq==0.14.0",
            "terminaltables==3.1.10",
        ),
        needs=(
            *(*SHARED, "tqdm", "flatbuffers", "click", "typeguard"),
            *("h5py", "matplotlib", "rich", "tyro", "tensorboard"),
        ),
        pins=("numpy==1.26.4", "ml-dtypes==0.5.4"),
        reads_larqlite=True,
    ),
    # Its graphs are built from the weights of a Keras model: it needs no TensorFlow.
    "openvino": Environment(
        packages=("openvino==2026.4.1",),
        needs=("numpy",),
    ),
    # Compiled here, for this processor. Its kernels alone are called, from ctypes.
    "ggml": Environment(
        packages=("llama-cpp-python==0.3.36",),
        needs=("numpy",),
        settings={"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"},
    ),
    # It knows no TensorFlow after 2.12, which is from 2023 and has its own Keras.
    "quantizeml": Environment(
        packages=("quantizeml==0.8.1",),
        needs=(
            *("tensorflow==2.12.1", "keras==2.12.0", "numpy==1.24.3"),
            *("onnx==1.13.1", "onnxruntime==1.15.0", "protobuf==3.20.3"),
        ),
        constrained=False,
    ),
}


def folder_of(library: str) -> pathlib.Path:
    """Where a peer's environment is."""
    return ROOT / f".venv-bench-{library}"


def packages_of(library: str) -> list[str]:
    """What a peer's environment is made for, with versions; the machine tells ours."""
    return [] if library == "larqlite" else list(ENVIRONMENTS[library].packages)


def python_of(library: str) -> str:
    """The interpreter of a side; makes its environment when it is missing."""
    if library == "larqlite":
        return sys.executable
    environment, folder = ENVIRONMENTS[library], folder_of(library)
    python = folder / "bin" / "python"
    constraints = _constraints(environment)
    wanted = "\n".join([*environment.packages, *environment.needs, constraints])
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Creating {folder.name} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        (folder / ".gitignore").write_text("*\n")
        (folder / "constraints.txt").write_text(constraints)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        needs = ["--constraint", str(folder / "constraints.txt"), *environment.needs]
        subprocess.run([*pip, *needs], check=True)
        subprocess.run(
            [*pip, "--no-deps", *environment.packages],
            check=True,
            env={**os.environ, **environment.settings},
        )
        stamp.write_text(wanted)
    return str(python)


def variables_of(library: str) -> dict[str, str]:
    """The environment variables of a side's process."""
    variables = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    variables.pop("PYTHONPATH", None)
    variables.pop("TF_USE_LEGACY_KERAS", None)
    if library == "larqlite" or ENVIRONMENTS[library].reads_larqlite:
        variables["PYTHONPATH"] = str(ROOT)
    if library != "larqlite":
        variables["TF_USE_LEGACY_KERAS"] = "1"
    return variables


def _constraints(environment: Environment) -> str:
    """The versions of this project, with a peer's own in their place."""
    if not environment.constrained:
        return ""
    own = {pin.partition("==")[0]: pin for pin in environment.pins}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return "\n".join(own.get(line.partition("==")[0], line) for line in lines) + "\n"
