"""`python -m release`: build both distributions, check them, print how to publish them."""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import build, check, emulated, trees


def main(arguments: list[str] | None = None) -> int:
    """0 if everything is as promised, 1 if not."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument(
        "--pythons",
        nargs="+",
        default=[sys.executable],
        metavar="PROGRAM",
        help="Pythons for the bare environments; the first one gets TensorFlow too.",
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=trees.ROOT / "dist",
        help="Where the files go: dist/.",
    )
    parser.add_argument(
        "--uncommitted", action="store_true", help="Build what is not committed, too."
    )
    parser.add_argument(
        "--runtime-only", action="store_true", help="Install no TensorFlow: quicker."
    )
    options = parser.parse_args(arguments)
    changed = trees.uncommitted()
    if changed and not options.uncommitted:
        print("\n".join(changed[:10]), file=sys.stderr)
        parser.error(
            "there are changes that no commit has.\n  Fix: commit them, or --uncommitted."
        )
    if left_out := trees.unknown():
        print(
            f"make release: git does not know {', '.join(left_out[:10])}: left out.",
            file=sys.stderr,
        )
    options.to.mkdir(parents=True, exist_ok=True)
    for earlier in build.published(options.to):
        earlier.unlink()
    # Python would hand these to every environment, and the checkout with them.
    for name in ("PYTHONPATH", "LARQLITE_ISA", "LARQLITE_REQUIRE_NATIVE"):
        os.environ.pop(name, None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _make(options, Path(folder))
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"make release: {error}", file=sys.stderr)
        return 1
    return 0


def _make(options: argparse.Namespace, work: Path) -> None:
    to, first = options.to, options.pythons[0]
    files = build.all_of_both(to, work / "trees")
    check.contents(files)
    source = next(to.glob("larqlite_runtime-*.tar.gz"))
    wheel, arm = (next(to.glob(f"*{name}.whl")) for name in build.ARCHITECTURES)
    found = [check.runtime(p, wheel, work / "bare") for p in options.pythons]
    # Compiled by the compiler of this machine: other code, the same bits.
    found.append(check.runtime(first, source, work / "from_source"))
    found += emulated.runtime(arm, work / "arm")
    check.same_outputs(found)
    check.onnxruntime(first, wheel, work / "extra")
    if not options.runtime_only:
        (whole,) = to.glob("larqlite-*.whl")
        check.both(first, wheel, whole, work / "both")
    for file in files:
        print(hashlib.sha256(file.read_bytes()).hexdigest(), file.name)
    print(
        f"\nAll is as promised. To publish {trees.version()} (CONTRIBUTING.md has the rest):\n"
        f"  git tag -a v{trees.version()} -m v{trees.version()}\n"
        f"  git push origin v{trees.version()}\n"
        f"  python -m twine upload {to}/larqlite_runtime-*\n"
        f"  python -m twine upload {to}/larqlite-*"
        + (f" {to}/larqlite_zoo_weights-*" if trees.trained_files() else "")
    )


if __name__ == "__main__":
    sys.exit(main())
