"""The trees to freeze: a commit or the working tree, with kernels of its own sources."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("larqlite", "larqlite_runtime", "larqlite_zoo")


def cache() -> pathlib.Path:
    """What is kept: one folder for all worktrees of a clone, which git ignores."""
    return (ROOT / _git("rev-parse", "--git-common-dir").strip()).parent / ".guard"


def commit_of(name: str) -> str:
    """The full hash of a commit."""
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except subprocess.CalledProcessError:
        sys.exit(
            f"guard: git knows no commit {name!r}. Fix: one of `git log --oneline`."
        )


@contextlib.contextmanager
def of_commit(commit: str) -> Iterator[pathlib.Path]:
    """A temporary `git worktree` of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            _lay_kernels(tree, tree)
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


@contextlib.contextmanager
def of_working_tree() -> Iterator[pathlib.Path]:
    """A copy of the packages as they are now, so that edits meanwhile do no harm."""
    with kernels_laid(ROOT) as tree:
        yield tree


@contextlib.contextmanager
def kernels_laid(source: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary copy of the packages of a checkout."""
    source = source.resolve()
    listed = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        for name in _git(*listed, *PACKAGES, where=source).split("\0"):
            if name and (source / name).is_file():  # deleted files are listed too
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, tree / name)
        _lay_kernels(source, tree)
        yield tree


def _lay_kernels(source: pathlib.Path, tree: pathlib.Path) -> None:
    """Compiles the kernels of `source`, or takes them from the cache, into `tree`."""
    files = [source / "setup.py", *sorted((source / "native").iterdir())]
    state = hashlib.sha256(sysconfig.get_platform().encode() + sys.version.encode())
    for file in files:
        state.update(file.name.encode() + file.read_bytes())
    kept = cache() / "kernels" / state.hexdigest()[:16]
    if not kept.is_dir():
        print("guard: compiling the kernels", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            _compile(source, pathlib.Path(folder), kept)
    for library in kept.iterdir():
        shutil.copy2(library, tree / "larqlite_runtime")


def _compile(source: pathlib.Path, folder: pathlib.Path, kept: pathlib.Path) -> None:
    # Not setup.cfg, whose version lies in another file from commit to commit.
    shutil.copytree(source / "native", folder / "native")
    shutil.copy2(source / "setup.py", folder)
    (folder / "larqlite_runtime").mkdir()
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    environment = os.environ | {"LARQLITE_REQUIRE_NATIVE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"guard: the kernels of {source} do not compile.\n{done.stderr}")
    keep((folder / "larqlite_runtime").glob("_kernels*"), kept)


def keep(files: Iterable[pathlib.Path], kept: pathlib.Path) -> None:
    """Copies files into a folder that is there as a whole or not at all.

    Another guard may have made the same one meanwhile: that stays.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as beside:
        whole = pathlib.Path(beside) / kept.name
        whole.mkdir()
        for file in files:
            shutil.copy2(file, whole)
        try:
            whole.rename(kept)
        except OSError:
            if not kept.is_dir():
                raise


def _git(*words: str, where: pathlib.Path = ROOT) -> str:
    return subprocess.run(
        ["git", *words], cwd=where, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
