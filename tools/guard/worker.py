"""One part on one tree, in a process of its own: `python -m guard.worker PART TREE TO`."""

import importlib
import json
import os
import pathlib
import re
import sys
import traceback
import warnings

from . import texts
from .freeze import LOG, RAISED

PLAIN = ("names", "commands")  # they look at imports, so they do none before


def main(part: str, tree: str, to: str) -> None:
    """Runs every entry of a part and writes its fields."""
    if hasattr(os, "sched_setaffinity"):  # one thread everywhere: sums have one order
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
    import larqlite_runtime

    if pathlib.Path(tree) not in pathlib.Path(larqlite_runtime.__file__).parents:
        sys.exit(f"guard: larqlite_runtime comes from {larqlite_runtime.__file__}.")
    texts.take_out(tree, "<tree>")
    texts.take_out(os.getcwd(), "<here>")
    # Commits of long ago have it in larqlite only; that is no reason not to freeze them.
    texts.take_out(getattr(larqlite_runtime, "__version__", "0.1.0"), "<version>")
    texts.take_out(sys.executable, "<python>")
    texts.take_out(sys.prefix, "<prefix>")
    reset = (lambda: None) if part in PLAIN else _determined()
    for name, entry in importlib.import_module(f"guard.parts.{part}").entries().items():
        reset()
        fields = _fields(entry, pathlib.Path(to, LOG))
        path = pathlib.Path(to, re.sub(r"[^\w.-]+", "_", name) + ".json")
        if path.exists():
            sys.exit(f"guard: two entries of {part} are called {path.stem}")
        path.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")


def _fields(entry, log: pathlib.Path) -> dict[str, list[str]]:
    """What an entry yields, field for field; of one that raises, all before it."""
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for field, text in entry():
                found[field] = texts.lines(text)
        except Exception as error:
            said = "".join(traceback.format_exception_only(error))
            found[RAISED] = texts.lines(said)
            with log.open("a") as file:
                file.write(traceback.format_exc())
    own = [str(w.message) for w in caught if _is_ours(w)]
    if own:
        found["warnings"] = texts.lines("\n".join(own))
    return found


def _is_ours(warning) -> bool:
    """Not what TensorFlow and others say of their own future."""
    return not issubclass(
        warning.category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
    )


def _determined():
    """Makes TensorFlow repeat itself; gives the function that begins an entry."""
    import numpy as np
    import tensorflow as tf
    import tf_keras

    import larqlite  # noqa: F401  registers its objects

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    np.set_printoptions(precision=7, linewidth=88)

    def reset() -> None:
        tf_keras.backend.clear_session()  # names of layers count from here
        tf_keras.utils.set_random_seed(1)

    return reset


if __name__ == "__main__":
    main(*sys.argv[1:])
