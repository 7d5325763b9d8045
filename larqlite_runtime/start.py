"""How the commands `lq` and `lqz` begin: standard streams, Ctrl-C, TensorFlow's messages.

TensorFlow writes start-up messages straight to the error stream while it is imported,
whatever log level is set. A program that imports larqlite as a library sees them as usual.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator, Sequence

_MODULES = {"larqlite": "lq", "larqlite_runtime": "lq", "larqlite_zoo": "lqz"}
# What larqlite imports, and how pip knows it.
_NEEDED = {
    "tensorflow": '"tensorflow>=2.16.1,<2.22"',
    "tf_keras": '"tf-keras>=2.16,<2.22"',
    "matplotlib": "matplotlib",
    "rich": "rich",
    "h5py": "h5py",
    "tyro": "tyro",
    "tensorboard": '"tensorboard>=2.16,<2.22"',
    "onnx": "onnx",
}
# Options of Python itself that have a value in the next word.
_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")
# Where messages go; another one while the error stream is kept back.
_errors = 2


def command_of(arguments: list[str]) -> str | None:
    """Which command a process with these arguments (`sys.orig_argv`) is: lq, lqz, or None.

    >>> command_of(["python", ".venv/bin/lq", "summary"])
    'lq'
    >>> command_of(["python", "-m", "larqlite", "summary"])
    'lq'
    >>> command_of(["python", ".venv/bin/lqz", "train", "quicknet"])
    'lqz'
    >>> command_of(["python", "-X", "dev", "-u", "-m", "larqlite", "summary"])
    'lq'
    >>> command_of(["python", "train.py", "lq"])
    """
    words = iter(arguments[1:])
    for word in words:
        if word == "-m":
            return _MODULES.get(next(words, ""))
        if word in _WITH_VALUE:
            next(words, "")
        elif word == "-c" or not word.startswith("-"):
            stem = os.path.splitext(os.path.basename(word))[0]
            return stem if stem in ("lq", "lqz") else None
    return None


def begin() -> None:
    """In the commands: no stream is missing, and Ctrl-C ends the process with a line.

    Until `interruptions_are_errors`, nothing has begun that would have to be taken back.
    In other programs it does nothing.
    """
    if command_of(sys.orig_argv) is None:
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # another thread than the main one
            signal.signal(signal.SIGINT, _stop)
            sys.unraisablehook = _not_raised
    _open_what_is_closed()


def interruptions_are_errors() -> None:
    """From here on Ctrl-C raises `KeyboardInterrupt`, so that what was begun is undone.

    A second one does not wait for that: files are written whole or not at all in any case.
    """
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, _interrupt)


def nothing_is_left_to_do(is_said: bool) -> None:
    """From here on Ctrl-C ends the process at once.

    Args:
        is_said: whether there is a message already.
    """
    if signal.getsignal(signal.SIGINT) in (_stop, _interrupt):
        signal.signal(signal.SIGINT, _end if is_said else _stop)


def what_is_missing(what: str, modules: Sequence[str] = tuple(_NEEDED)) -> str | None:
    """A message that `what` needs larqlite, TensorFlow or what comes with it, or None.

    Args:
        what: a command or a package.
        modules: that it needs.
    """
    if not _is_there("larqlite"):
        # The distribution of the runtime is here alone.
        return (
            f"{what} needs larqlite, which is not installed here.\n"
            "  Fix: pip install larqlite"
        )
    if all(map(_is_there, modules)):
        return None
    packages = [pip for module, pip in _NEEDED.items() if not _is_there(module)]
    name = "TensorFlow" if "tensorflow" in packages[0] else packages[0]
    return (
        f"{what} needs {name}, which is not installed here.\n"
        f"  Fix: pip install {' '.join(packages)}"
    )


@contextlib.contextmanager
def messages_held_back() -> Iterator[None]:
    """Within the block, what is written to the error stream is kept back.

    It is written after all if the block raises.
    """
    import tempfile

    global _errors
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    _errors = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            kept.seek(0)
            os.write(_errors, kept.read())
            raise
        finally:
            os.dup2(_errors, 2)
            stream, _errors = _errors, 2
            os.close(stream)


def _is_there(module: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def _open_what_is_closed() -> None:
    """A stream that the shell closed (`>&-`) goes nowhere; a file must not take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _interrupt(*_) -> None:
    signal.signal(signal.SIGINT, _stop)
    raise KeyboardInterrupt


def _end(*_) -> None:
    os._exit(130)


def _not_raised(unraisable) -> None:
    """Ctrl-C in a destructor, which cannot raise, ends the process too."""
    if unraisable.exc_type is KeyboardInterrupt:
        _stop()
    sys.__unraisablehook__(unraisable)


def _stop(*_) -> None:
    begin = "\r\x1b[K" if os.isatty(_errors) else ""  # what a progress bar drew
    os.write(_errors, f"{begin}{command_of(sys.orig_argv)}: stopped\n".encode())
    os._exit(130)
