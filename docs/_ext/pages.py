"""The code on a page: Python blocks, what they print, and the pictures they draw.

Both the build (`draw.py`) and `tests/test_docs.py` read pages with `blocks_of`.
"""

import ast
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<kind>\{draw\}|python|console|text)(?P<rest>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=fence)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
_OPTIONS = re.compile(r"\A(?::[\w-]+:[^\n]*\n)+\n?")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Args:
        kind: "python"; "{draw}", whose last line is an expression that gives a figure;
            or "console", a command and what it prints.
        code: its lines.
        line: the line of the page that its code begins on, counted from 1.
        output: the text block that follows it directly, or None.
    """

    kind: str
    code: str
    line: int
    output: str | None = None


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that are run, in their order."""
    blocks, end_of_last = [], -1
    for match in _FENCE.finditer(text):
        kind, body = match["kind"], match["body"]
        options = _OPTIONS.match(body) if kind == "{draw}" else None
        skipped = options.end() if options else 0
        if kind == "text":
            follows = end_of_last >= 0 and not text[end_of_last : match.start()].strip()
            if follows and blocks[-1].output is None:
                blocks[-1] = Block(
                    blocks[-1].kind, blocks[-1].code, blocks[-1].line, body
                )
            end_of_last = -1
            continue
        line = text.count("\n", 0, match.start("body") + skipped) + 1
        blocks.append(Block(kind, body[skipped:], line))
        end_of_last = match.end()
    return blocks


@contextlib.contextmanager
def fresh_page() -> Iterator[dict]:
    """A new namespace, in a new folder, with new seeds and layer names."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    tf_keras.backend.reset_uids()
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield {"__name__": "__page__"}
        finally:
            os.chdir(before)


def run(block: Block, page: Path, namespace: dict) -> tuple[object, str]:
    """Runs a Python block as a part of its page; tracebacks show the page's lines.

    Returns:
        The value of its last line, if that is an expression, and what a reader would
        see: what the block prints, then that value unless it is None.
    """
    tree = ast.parse("\n" * (block.line - 1) + block.code, filename=str(page))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, str(page), "exec"), namespace)
        if last is not None:
            value = eval(compile(last, str(page), "eval"), namespace)
    shown = printed.getvalue() + ("" if value is None else f"{value!r}\n")
    return value, shown
