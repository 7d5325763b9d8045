"""`python -m guard BASE`: freeze a commit and the working tree, print what differs."""

import argparse
import pathlib
import signal
import sys
import tempfile

from . import compare, freeze, trees


def main(arguments: list[str] | None = None) -> int:
    """0 if all is the same, 1 if something differs or a model raised."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is temporary goes
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.compare:
        first, second = map(pathlib.Path, options.compare)
        return compare.show(first, second, options.lines)
    parts = options.only or list(freeze.PARTS)
    if options.tree:
        if not options.to:
            parser.error("--tree needs --to FOLDER, where what is frozen goes")
        with trees.kernels_laid(options.tree) as tree:
            return freeze.tree(tree, options.to, parts)
    if not options.base:
        parser.error("no commit to compare with. Fix: make guard BASE=<commit>")
    with trees.of_working_tree() as tree, tempfile.TemporaryDirectory() as folder:
        before = _frozen(trees.commit_of(options.base), parts)
        after = options.to or pathlib.Path(folder)
        raised = freeze.tree(tree, after, parts)
        return max(raised, compare.show(before, after, options.lines, parts))


def _frozen(commit: str, parts: list[str]) -> pathlib.Path:
    """The folder of what is frozen of a commit; parts that are not there yet are made."""
    kept = trees.cache() / "frozen" / f"{commit[:12]}-{freeze.state()}"
    missing = [part for part in parts if not (kept / part).is_dir()]
    if missing:
        with trees.of_commit(commit) as tree:
            freeze.tree(tree, kept, missing)
    return kept


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("guard", description=__doc__)
    add = parser.add_argument
    add("base", nargs="?", help="the commit to compare the working tree with")
    add("--only", nargs="+", choices=freeze.PARTS, metavar="PART", help="these parts")
    add("--lines", type=int, default=6, help="lines shown of each difference")
    add("--to", type=pathlib.Path, metavar="FOLDER", help="keep what is frozen here")
    add("--tree", type=pathlib.Path, help="only freeze this checkout, into --to")
    add("--compare", nargs=2, metavar="FOLDER", help="only compare two frozen folders")
    return parser


if __name__ == "__main__":
    sys.exit(main())
