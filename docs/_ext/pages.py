"""The code on a page: Python blocks, what they print, and the pictures they draw.

The build (`draw.py`), `tests/test_docs.py` and `make docs-outputs` read pages with
`blocks_of`. A comment above a command, or between code and its output, says how near what
is printed must come to what the page shows: `<!-- output: within 5% -->` or
`<!-- output: any numbers -->`. Without one it must be the same. `<!-- output: logged -->`
stands above warnings, which a reader sees as well. Behind a semicolon stands what holds
between the numbers on every machine: `<!-- output: within 5%; #2 > #1 - 1 -->`.
"""

import ast
import contextlib
import dataclasses
import io
import logging
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHELL_PROMPT = "$ "
LOGGED = "logged"
# The file that a page finds in its folder: a model that Larq wrote, with Adam's state.
LARQ_MODEL = Path(__file__).parents[2] / "tests/fixtures/larq_0.14.0/adam.keras"

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<kind>\{draw\}|python|console|text)(?P<rest>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=fence)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
_OPTIONS = re.compile(r"\A(?::[\w-]+:[^\n]*\n)+\n?")
_COMMENT = re.compile(r"\s*<!-- output: ([^\n]*) -->\s*")
_COMMENT_ABOVE = re.compile(r"<!-- output: ([^\n]*) -->\n\Z")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Args:
        kind: "python"; "{draw}", whose last line is an expression that gives a figure;
            or "console", a command and what it prints.
        code: its lines.
        line: the line of the page that its code begins on, counted from 1.
        output: the text block that follows it directly, or None; of a command, what
            stands below it.
        near: how near what is printed must come to it: "within 5%", "any numbers",
            "logged" for the same with warnings, or None for the same; and relations of
            its numbers, as `compare.untrue` reads them.
        output_span: where on the page its output stands, or None.
    """

    kind: str
    code: str
    line: int
    output: str | None = None
    near: str | None = None
    output_span: tuple[int, int] | None = None


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page that are run, in their order."""
    blocks, end_of_last = [], -1
    for match in _FENCE.finditer(text):
        kind, body = match["kind"], match["body"]
        options = _OPTIONS.match(body) if kind == "{draw}" else None
        skipped = options.end() if options else 0
        if kind == "text":
            between = text[end_of_last : match.start()]
            comment = _COMMENT.fullmatch(between)
            follows = end_of_last >= 0 and (comment or not between.strip())
            if follows and blocks[-1].output is None:
                blocks[-1] = dataclasses.replace(
                    blocks[-1],
                    output=body,
                    near=comment and comment[1],
                    output_span=match.span("body"),
                )
            end_of_last = -1
            continue
        line = text.count("\n", 0, match.start("body") + skipped) + 1
        code, output, near, span = body[skipped:], None, None, None
        if kind == "console":
            prompt, _, output = code.partition("\n")
            code = f"{prompt}\n"
            above = _COMMENT_ABOVE.search(text, 0, match.start())
            near = above and above[1]
            span = (match.start("body") + len(code), match.end("body"))
        blocks.append(Block(kind, code, line, output, near, span))
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
        shutil.copy(LARQ_MODEL, "larq_model.keras")
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


def run_command(block: Block) -> str:
    """Runs the `lq` or `lqz` of a console block in this process; what it prints."""
    from larqlite import cli
    from larqlite_zoo import cli as zoo_cli

    program, *arguments = shlex.split(block.code.removeprefix(SHELL_PROMPT))
    programs = {"lq": cli.main, "lqz": zoo_cli.main}
    if program not in programs:
        raise ValueError(f"the pages run lq and lqz only, not {program}")
    printed, complaints = io.StringIO(), io.StringIO()
    with (
        contextlib.suppress(SystemExit),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complaints),
    ):
        programs[program](arguments)
    return printed.getvalue() + complaints.getvalue()


def shown_by(block: Block, page: Path, namespace: dict) -> tuple[object, str]:
    """Runs a block of any kind: the value of its last line, and what a reader sees."""
    if block.kind == "console":
        return None, run_command(block)
    if block.near != LOGGED:
        return run(block, page, namespace)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    log = logging.getLogger("larqlite")
    log.addHandler(handler)
    try:
        value, shown = run(block, page, namespace)
    finally:
        log.removeHandler(handler)
    return value, said.getvalue() + shown
