"""The wheel for 64-bit ARM, run under qemu by a Python of Debian's, without installing one.

Needs `qemu-user` and `apt-get`; what is downloaded goes into a folder that is given, and
nothing of the system changes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import check

# A Python with ctypes, and the libraries that NumPy's wheel asks the system for.
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3",
    "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1",
)  # fmt: skip
QEMU = "qemu-aarch64"
_CONFIGURATION = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "root";
Dir::State "{0}/state";
Dir::State::status "{0}/state/status";
Dir::Cache "{0}/cache";
"""


def runtime(wheel: Path, work: Path) -> list[dict]:
    """What `bare.py` finds there; nothing, which is said, where there is no emulator.

    Args:
        wheel: of the runtime.
        work: a folder that is not there.
    """
    missing = [name for name in (QEMU, "apt-get", "dpkg") if shutil.which(name) is None]
    if missing:
        print(f"aarch64: not run, needs {', '.join(missing)} (Debian: qemu-user)")
        return []
    work.mkdir(parents=True)
    system, version = _system(work / "apt")
    site = work / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", site]
    command += ["--python-version", version, "--implementation", "cp"]
    command += ["--only-binary", ":all:"]
    for platform in ("manylinux_2_17_aarch64", "manylinux_2_28_aarch64"):
        command += ["--platform", platform]
    subprocess.run([*command, wheel], check=True)
    python = system / "usr" / "bin" / f"python{version}"
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "QEMU_LD_PREFIX": str(system),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    files = check.copied(work / "files")
    # Python starts itself again; the system would not know how to.
    starter = work / "python"
    starter.write_text(f'#!/bin/sh\nexec {QEMU} -0 "$0" {python} "$@"\n')
    starter.chmod(0o755)
    ran = subprocess.run(
        [starter, check.BARE, files, starter],
        env=environment,
        capture_output=True,
        text=True,
        cwd=work,
    )
    if ran.returncode:
        raise ValueError(f"{wheel.name} under {QEMU}: {ran.stdout}{ran.stderr}")
    print(f"{wheel.name} under {QEMU}: {ran.stdout.strip()}")
    return [json.loads(ran.stdout)]


def _system(folder: Path) -> tuple[Path, str]:
    """A root folder with a Python, and its version: packages that are only unpacked."""
    for part in ("state/lists/partial", "cache/archives/partial", "debs"):
        (folder / part).mkdir(parents=True)
    (folder / "state" / "status").touch()
    configuration = folder / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(folder))
    environment = os.environ | {"APT_CONFIG": str(configuration)}

    def apt(*words: str) -> str:
        return check.run(*words, env=environment, cwd=folder / "debs", shown=False)

    apt("apt-get", "update")
    depends = apt("apt-cache", "depends", "python3-minimal")
    version = depends.partition("python3.")[2].partition("-")[0]
    python = f"3.{version}"
    names = [f"python{python}-minimal", f"libpython{python}-minimal"]
    names += [f"libpython{python}-stdlib", *PACKAGES]
    apt("apt-get", "download", *names)
    root = folder / "root"
    for package in sorted((folder / "debs").glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    return root, python
