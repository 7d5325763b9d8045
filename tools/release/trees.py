"""The trees of the distributions, made of the files that git knows.

`larqlite-runtime` is `larqlite_runtime/` and `native/` with the files of `packaging/runtime/`;
`larqlite` is all the rest that is installed. The setup.py of both is that of the repository.
`larqlite-zoo-weights` is the files of `weights/`, where there are some.
"""

import configparser
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import pages

ROOT = Path(__file__).resolve().parent.parent.parent
# Folders and files of each tree, and where its own files lie.
RUNTIME = ("larqlite_runtime", "native", "setup.py", "LICENSE")
RUNTIME_FILES = "packaging/runtime"
LARQLITE = (
    "larqlite", "larqlite_zoo", "setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in",
    "LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "constraints.txt",
)  # fmt: skip
WEIGHTS_FILES = "packaging/zoo-weights"
WEIGHTS = "weights"
_VERSION_LINE = re.compile(r"^version = attr:.*$", re.M)


def version() -> str:
    """Of both distributions."""
    text = (ROOT / "larqlite_runtime" / "_version.py").read_text("utf-8")
    return re.search(r'__version__ = "([^"]+)"', text)[1]


def repository() -> str:
    """The address of the repository, as setup.cfg has it."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["metadata"]["url"]


def lay_runtime(tree: Path) -> Path:
    """Writes the tree of `larqlite-runtime`; returns it."""
    _copy(RUNTIME, tree)
    for name in known_files(RUNTIME_FILES):
        shutil.copy2(ROOT / name, tree / Path(name).name)
    return tree


def lay_larqlite(tree: Path) -> Path:
    """Writes the tree of `larqlite`; returns it.

    Its version cannot be read from the runtime, and its README leads out of the package.
    """
    _copy(LARQLITE, tree)
    _write_version(tree / "setup.cfg")
    readme = tree / "README.md"
    tag = f"v{version()}"
    text = pages.with_absolute_links(readme.read_text("utf-8"), ROOT, repository(), tag)
    readme.write_text(text, "utf-8")
    return tree


def trained_files(folder: Path = ROOT / WEIGHTS) -> list[Path]:
    """The weights that `larqlite-zoo-weights` consists of; none, none is built."""
    return sorted(folder.glob("*.h5"))


def lay_weights(tree: Path, files: Sequence[Path] | None = None) -> Path:
    """Writes the tree of `larqlite-zoo-weights`; returns it.

    Args:
        tree: a folder that is not there.
        files: the weights; those of the repository by default.
    """
    package = tree / "larqlite_zoo_weights"
    package.mkdir(parents=True)
    for name in known_files(WEIGHTS_FILES):
        shutil.copy2(ROOT / name, tree / Path(name).name)
    shutil.copy2(ROOT / "LICENSE", tree)
    for file in trained_files() if files is None else files:
        shutil.copy2(file, package)
    shutil.copy2(ROOT / "larqlite_zoo" / "_trained.json", package / "weights.json")
    (package / "__init__.py").write_text(
        '"""Files of weights, which `larqlite_zoo` finds here."""\n', "utf-8"
    )
    _write_version(tree / "setup.cfg")
    return tree


def _write_version(setup: Path) -> None:
    text, count = _VERSION_LINE.subn(f"version = {version()}", setup.read_text("utf-8"))
    if count != 1:
        raise ValueError(
            "setup.cfg: no line `version = attr: ...` to write a number in"
        )
    setup.write_text(text, "utf-8")


def uncommitted() -> list[str]:
    """Known files that differ from the commit, as `git status` has them."""
    return _git("status", "--porcelain", "--untracked-files=no").splitlines()


def unknown() -> list[str]:
    """Files among those that are published which git does not know: nothing is built of
    them."""
    names = (*RUNTIME, *LARQLITE, RUNTIME_FILES, WEIGHTS_FILES)
    found = _git("ls-files", "--others", "--exclude-standard", "--", *names)
    return found.splitlines()


def _copy(names: tuple[str, ...], tree: Path) -> None:
    tree.mkdir(parents=True)
    for name in known_files(*names):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)


def known_files(*names: str) -> list[str]:
    """The files that git knows below these names, and that are there.

    (A deletion that is not committed is listed too.)
    """
    listed = _git("ls-files", "-z", "--", *names).split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
