"""What pip installs: every file of the package, and versions that fit each other."""

import configparser
import fnmatch
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from packaging.requirements import Requirement
from packaging.version import Version

from larqlite._version import require_same_minor
from larqlite_runtime import start

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = ("larqlite", "larqlite_runtime", "larqlite_zoo")


@pytest.fixture(scope="module")
def setup():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


@pytest.fixture(scope="module")
def requirements(setup):
    lines = re.sub(r"#.*", "", setup["options"]["install_requires"]).split("\n")
    return {r.name: r for r in map(Requirement, filter(None, map(str.strip, lines)))}


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    rows = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {row.name: Version(str(row.specifier).removeprefix("==")) for row in rows}


def test_every_data_file_of_the_package_is_installed(setup):
    patterns = setup["options.package_data"]
    files = [
        file
        for name in PACKAGES
        for file in (ROOT / name).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc", ".so")
        if file.name != "README.md"  # for whoever changes the code
    ]
    assert "float_twin.json" in {file.name for file in files}
    for name in PACKAGES:
        assert ROOT / name / "py.typed" in files
    for file in files:
        package = ".".join(file.parent.relative_to(ROOT).parts)
        wanted = patterns.get(package, "").split()
        assert any(fnmatch.fnmatch(file.name, pattern) for pattern in wanted), file


def test_the_pins_lie_in_the_ranges_and_tensorflow_and_tf_keras_fit(requirements, pins):
    for name, requirement in requirements.items():
        assert requirement.specifier.contains(pins[name]), name
    assert pins["tensorflow"].release[:2] == pins["tf-keras"].release[:2]


def test_the_ranges_are_those_that_are_promised(requirements):
    for name in ("tensorflow", "tf-keras"):
        assert requirements[name].specifier.contains("2.16.1")
        assert requirements[name].specifier.contains("2.21.9")
        assert not requirements[name].specifier.contains("2.22.0")
    assert requirements["numpy"].specifier.contains("1.26.0")
    assert requirements["numpy"].specifier.contains("2.9.0")
    assert not requirements["numpy"].specifier.contains("3.0.0")


def test_what_is_said_to_be_missing_is_what_pip_is_asked_for(requirements):
    needed = [Requirement(text.strip('"')) for text in start._NEEDED.values()]
    for each in needed:
        assert not each.specifier or each.specifier == requirements[each.name].specifier
    assert {each.name for each in needed} == set(requirements) - {
        "numpy",
        "onnxruntime",
    }


def test_the_installed_versions_are_in_the_ranges(requirements):
    for name, module in (("tensorflow", tf), ("tf-keras", tf_keras), ("numpy", np)):
        assert requirements[name].specifier.contains(module.__version__)


def test_a_tensorflow_and_a_tf_keras_of_different_minors_are_refused_with_the_fix():
    require_same_minor("2.17.1", "2.17.0")
    with pytest.raises(
        ImportError, match=r'2\.21\.0[\s\S]*pip install "tf-keras==2\.21'
    ):
        require_same_minor("2.21.0", "2.2.1")


@pytest.mark.slow
def test_what_is_distributed_builds_by_itself_and_is_small(tmp_path):
    """The source distribution, and a wheel out of it, with the native kernels."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(
        ".*", "docs", "results", "*.so", "build", "*.egg-info"
    )
    shutil.copytree(ROOT, source, ignore=ignored)

    def setup(folder, *words):
        command = [sys.executable, "setup.py", "-q", *words]
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, timeout=600
        )

    setup(source, "sdist", "-d", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        file.extractall(tmp_path / "unpacked", filter="data")
    assert {"native/run.cc", "setup.py", "LICENSE", "README.md"} <= names
    assert not [
        name for name in names if name.startswith(("tests", "docs", "notebooks"))
    ]
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    setup(unpacked, "bdist_wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        sizes = {item.filename: item.file_size for item in file.infolist()}
        metadata = next(name for name in sizes if name.endswith("/METADATA"))
        text = file.read(metadata).decode()
    kernels = [
        size
        for name, size in sizes.items()
        if "_kernels" in name and name.endswith("so")
    ]
    assert kernels
    assert kernels[0] < 2**20, "debug sections are in it"
    assert {f"{name}/py.typed" for name in PACKAGES} <= set(sizes)
    for line in ("Python :: 3.13", "Typing :: Typed", "POSIX :: Linux"):
        assert line in text


def test_class_variables_say_of_what_since_python_3_10_wants_to_know():
    """Commands ask for the types of their options, where a plain `ClassVar` is an error."""
    folders = (ROOT / name for name in ("larqlite", "larqlite_runtime", "larqlite_zoo"))
    plain = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*.py")
        if re.search(r": ClassVar\b(?!\[)", path.read_text(encoding="utf-8"))
    ]
    assert plain == []
