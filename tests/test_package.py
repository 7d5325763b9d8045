"""What pip installs: every file of the package, and versions that fit each other."""

import configparser
import fnmatch
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from packaging.requirements import Requirement
from packaging.version import Version

from larqlite._version import require_same_minor

ROOT = Path(__file__).resolve().parent.parent


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
        for file in (ROOT / "larqlite").rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    ]
    assert "float_twin.json" in {file.name for file in files}
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


def test_the_installed_versions_are_in_the_ranges(requirements):
    for name, module in (("tensorflow", tf), ("tf-keras", tf_keras), ("numpy", np)):
        assert requirements[name].specifier.contains(module.__version__)


def test_a_tensorflow_and_a_tf_keras_of_different_minors_are_refused_with_the_fix():
    require_same_minor("2.17.1", "2.17.0")
    with pytest.raises(
        ImportError, match=r'2\.21\.0[\s\S]*pip install "tf-keras==2\.21'
    ):
        require_same_minor("2.21.0", "2.2.1")
