"""The Python of each side; Larq's environment is created when it is first needed."""

import os
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARQ_ENVIRONMENT = ROOT / ".venv-bench-larq"
LARQ = "larq==0.14.0"
# Larq asks for numpy<2; it also runs on the numpy of this project, and both sides
# should use the same. So it is installed without its own list of requirements.
SHARED = ("tensorflow", "tf-keras", "numpy", "packaging", "terminaltables==3.1.10")
# Larq Zoo pins a protobuf that no present TensorFlow works with, so it comes without its
# list of requirements too; these it needs to be imported.
LARQ_ZOO = ("larq-zoo==2.4.0", "zookeeper==1.4.0")
LARQ_ZOO_NEEDS = ("click", "pyyaml", "typeguard", "tensorflow-datasets")


def python_of(library: str) -> str:
    """The interpreter of a side; makes Larq's environment when it is missing."""
    if library == "larqlite":
        return sys.executable
    python = LARQ_ENVIRONMENT / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    packages = [LARQ, *LARQ_ZOO, *SHARED, *LARQ_ZOO_NEEDS]
    wanted = "\n".join([*packages, constraints.read_text()])
    stamp = LARQ_ENVIRONMENT / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Creating {LARQ_ENVIRONMENT.name} with {LARQ} ...", file=sys.stderr)
        venv.create(LARQ_ENVIRONMENT, with_pip=True, clear=True)
        (LARQ_ENVIRONMENT / ".gitignore").write_text("*\n")
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        shared = [*SHARED, *LARQ_ZOO_NEEDS]
        subprocess.run([*pip, "--constraint", str(constraints), *shared], check=True)
        subprocess.run([*pip, "--no-deps", LARQ, *LARQ_ZOO], check=True)
        stamp.write_text(wanted)
    return str(python)


def variables_of(library: str) -> dict[str, str]:
    """The environment variables of a side's process."""
    variables = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    if library == "larqlite":
        variables["PYTHONPATH"] = str(ROOT)
        variables.pop("TF_USE_LEGACY_KERAS", None)
    else:
        variables.pop("PYTHONPATH", None)
        variables["TF_USE_LEGACY_KERAS"] = "1"
    return variables
