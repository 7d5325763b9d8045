"""The documentation: every block of Python and every command on its pages does what it shows."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import larqlite as lq
import larqlite_zoo
from larqlite import cli
from larqlite_zoo import cli as zoo_cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts
)
SHELL_PROMPT = "$ "
PROGRAMS = {"lq": cli.main, "lqz": zoo_cli.main}


def load_extension(name: str):
    """A module of `docs/_ext`, which is not a package."""
    spec = importlib.util.spec_from_file_location(
        f"docs_{name}", DOCS / "_ext" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


pages = load_extension("pages")


def matches(expected: str, shown: str) -> bool:
    """Whether a page shows what is printed; `...` stands for anything."""
    expected, shown = (
        "".join(f"{line.rstrip()}\n" for line in text.strip("\n").split("\n"))
        for text in (expected, shown)
    )
    return doctest.OutputChecker().check_output(expected, shown, doctest.ELLIPSIS)


def run_command(block, capsys) -> tuple[str, str]:
    """What a console block claims that its command prints, and what it prints."""
    prompt, _, expected = block.code.partition("\n")
    program, *arguments = shlex.split(prompt.removeprefix(SHELL_PROMPT))
    assert program in PROGRAMS, f"the pages run lq and lqz only, not {program}"
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        PROGRAMS[program](arguments)
    printed = capsys.readouterr()
    return expected, printed.out + printed.err


# TFLite's own converter says so of every model that brings its ranges along.
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page, capsys):
    with pages.fresh_page() as namespace:
        larq_model = ROOT / "tests" / "fixtures" / "larq_0.14.0" / "adam.keras"
        shutil.copy(larq_model, "larq_model.keras")
        for block in pages.blocks_of(page.read_text(encoding="utf-8")):
            if block.kind == "console":
                expected, shown = run_command(block, capsys)
            else:
                value, shown = pages.run(block, page, namespace)
                expected = block.output
            if block.kind == "{draw}":
                assert value.axes, f"{page.name}:{block.line} draws no figure"
            elif expected is not None:
                assert matches(expected, shown), (
                    f"{page.name}:{block.line} shows\n{expected}\nbut prints\n{shown}"
                )


def public_errors():
    """Every class of errors that a public module of the packages has, by its name there."""
    found = {}
    modules = [
        each.name
        for package in (lq, larqlite_zoo)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not any(part.startswith("_") for part in each.name.split("."))
    ]
    for name in ("larqlite", "larqlite_zoo", *modules):
        module = importlib.import_module(name)
        listed = getattr(module, "__all__", vars(module))
        for each in (vars(module).get(word) for word in listed):
            if isinstance(each, type) and issubclass(each, lq.errors.LarqliteError):
                found.setdefault(each, set()).add(
                    f"{name}.{each.__name__}".replace("larqlite.", "lq.", 1)
                )
    return found


def test_the_table_of_errors_has_each_class_with_what_it_is_too():
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(\w+)` \|", text, re.MULTILINE))
    errors = public_errors()
    errors.pop(lq.errors.LarqliteError)
    assert len(rows) == len(errors)
    for error, names in errors.items():
        (row,) = names & set(rows)
        assert rows[row] in {base.__name__ for base in error.__mro__[1:]}, row


def test_blocks_carry_their_code_line_and_output():
    text = (
        "# A page\n\n```python\nx = 1\nx\n```\n\n```text\n1\n```\n\nThen:\n\n"
        "```{draw}\n:alt: A picture\n\nplot(x)\n```\n\n```sh\nmake docs\n```\n\n"
        "```text\nof no block\n```\n"
    )
    first, second = pages.blocks_of(text)
    assert (first.kind, first.code, first.line, first.output) == (
        "python",
        "x = 1\nx\n",
        4,
        "1\n",
    )
    assert (second.kind, second.code, second.line, second.output) == (
        "{draw}",
        "plot(x)\n",
        17,
        None,
    )


def test_a_failing_block_names_the_line_of_its_page():
    block = pages.Block("python", "a = 1\n1 / 0\n", line=7)
    with pytest.raises(ZeroDivisionError) as failure:
        pages.run(block, Path("some_page.md"), {})
    last = failure.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("some_page.md", 8)


def test_an_output_that_differs_is_noticed():
    assert matches("a ...\n[1. 1.]\n", "a 1\n[1. 1.]  \n")
    assert not matches("[1. 1.]\n", "[1. -1.]\n")


def test_docstrings_keep_examples_and_turn_math_code_and_bars_into_roles():
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    docstrings = load_extension("docstrings")
    lines = [
        "The `Value`s with |x| at most $c$, as in `a | b`.",
        "",
        "    $$ q(x) =",
        "       y $$",
        "",
        ">>> print('$1 | `2`')",
        "$1 | `2`",
        "",
        "Then $d$.",
    ]
    assert docstrings.as_restructured_text(lines) == [
        "The ``Value``\\ s with \\|x\\| at most :math:`c`, as in ``a | b``.",
        "",
        "",
        "    .. math::",
        "",
        "       q(x) =",
        "       y",
        "",
        "",
        ">>> print('$1 | `2`')",
        "$1 | `2`",
        "",
        "Then :math:`d`.",
    ]


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E"]
    command += ["-b", "html", "-d", str(tmp_path / "trees"), str(DOCS)]
    result = subprocess.run(
        [*command, str(tmp_path / "html")], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    gallery = (tmp_path / "html" / "gallery.html").read_text(encoding="utf-8")
    for entry in lq.quantizers.entries():
        if entry.target.__module__.startswith("larqlite."):
            assert re.search(rf"<h2>{entry.target.__name__}<", gallery)
