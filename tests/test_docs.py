"""The documentation: every block of Python and every command on its pages does what it shows."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import larqlite as lq
import larqlite_zoo

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts
)


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
compare = load_extension("compare")


# TFLite's own converter says so of every model that brings its ranges along.
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page):
    with pages.fresh_page() as namespace:
        for block in pages.blocks_of(page.read_text(encoding="utf-8")):
            value, shown = pages.shown_by(block, page, namespace)
            if block.kind == "{draw}":
                assert value.axes, f"{page.name}:{block.line} draws no figure"
            elif block.output is not None:
                assert not compare.untrue(block.near, shown), (
                    f"{page.name}:{block.line}"
                )
                assert compare.matches(block.output, shown, block.near), (
                    f"{page.name}:{block.line} shows\n{block.output}\nbut prints\n{shown}"
                    "\nFix: if the new output is right, make docs-outputs"
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


def test_a_comment_says_how_near_an_output_must_come():
    text = (
        "```python\nx\n```\n\n<!-- output: within 5% -->\n```text\n1.00\n```\n\n"
        "<!-- output: any numbers -->\n```console\n$ lq run net.onnx\n7 ms\n```\n\n"
        "```console\n$ lq --version\nlq 1\n```\n"
    )
    first, second, third = pages.blocks_of(text)
    assert (first.output, first.near) == ("1.00\n", "within 5%")
    assert (second.code, second.output) == ("$ lq run net.onnx\n", "7 ms\n")
    assert (second.near, third.near) == ("any numbers", None)
    for block in (first, second, third):
        assert text[slice(*block.output_span)] == block.output


def test_an_output_that_differs_is_noticed():
    assert compare.matches("a\n...\n[1. 1.]\n", "a\n1\n[1. 1.]  \n")
    assert not compare.matches("[1. 1.]\n", "[1. -1.]\n")
    assert not compare.matches("1.00\n", "1.01\n")


@pytest.mark.parametrize(
    ("expected", "shown", "near", "same"),
    [
        ("accuracy: 88.2 %", "accuracy: 87.9 %", "within 5%", True),
        ("accuracy: 88.2 %", "accuracy: 78.9 %", "within 5%", False),
        ("accuracy: 88.2 %", "loss: 88.2 %", "within 5%", False),
        ("100 samples in 0.1 s", "100 samples in 7.3 s", "within 5%", True),
        ("100 samples in 0.1 s", "200 samples in 0.1 s", "within 5%", False),
        ("[-1. 1.]", "[1. 1.]", "within 5%", False),
        ("| AMX    | 1,234 |", "| AVX-512 | 34 |", "any numbers", True),
        ("| AMX | 1,234 |", "| AMX | none |", "any numbers", False),
        ("conv_2 in float32", "conv_3 in float32", "any numbers", False),
        ("0.000 apart", "5000.000 apart", "any numbers", False),
        ("5 of 5 agree (100.00%)", "6 of 6 agree (100.00%)", "any numbers", True),
        ("5 of 5 agree", "3 of 5 agree", "any numbers", False),
        ("equal: 100.00%", "equal: 1.00%", "any numbers", False),
        ("difference: 0, 0 units", "difference: 9, 7 units", "any numbers", False),
        ("y: off by 1e-06 (2e-07 of the largest)", "y: equal", "any numbers", True),
        ("a 1\nb", "a 2\nb\nc", "any numbers, first 2 lines", True),
        ("a\nb", "a\nc\nc", "first 2 lines", False),
    ],
)
def test_numbers_may_differ_by_as_much_as_the_page_says(expected, shown, near, same):
    assert compare.matches(expected, shown, near) == same


def test_what_a_page_says_of_its_numbers_fails_where_it_is_untrue():
    near = "within 5%, first 2 lines; #2 > #1 - 1; #3 >= 98; 80 < #1"
    shown = "float 81.5 %, int8 {} %\n{} of the labels agree\nin 3 s"
    assert not compare.untrue(near, shown.format("80.6", "98"))
    assert compare.untrue(near, shown.format("80.5", "98")) == ["#2 > #1 - 1"]
    assert compare.untrue(near, shown.format("90", "97.9")) == ["#3 >= 98"]
    assert not compare.untrue("any numbers", "1")
    assert not compare.untrue(None, "1")
    assert compare.matches("loss 0.8", "loss 0.7", "within 20%; #1 < 1")
    assert not compare.matches("loss 0.8", "lost 0.7", "any numbers; #1 < 1")
    for relation in ("#1 is small", "#1 < #1 * 2", "#4 < 1", "#0 < 1"):
        with pytest.raises(ValueError, match=relation.partition(" ")[0]):
            compare.untrue(f"any numbers; {relation}", "1 2 3")


def test_every_page_shows_numbers_of_which_it_says_what_is_true():
    blocks = [
        (page.name, block)
        for page in PAGES
        for block in pages.blocks_of(page.read_text(encoding="utf-8"))
        if block.output is not None
    ]
    for name, block in blocks:
        assert not compare.untrue(block.near, block.output), f"{name}:{block.line}"
    assert sum(";" in (block.near or "") for _, block in blocks) >= 12


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


def test_the_page_of_methods_says_which_runs_are_missing():
    """The rows of the results that are there, and those of the command that are not."""
    zoo_tables = load_extension("zoo_tables")
    command = "lqz sweep X --methods bnn 'a/b(2)' --seeds 1 2 \\\n    --epochs 3"
    found = [{"method": "bnn", "seeds": [2]}, {"method": "float", "seeds": [1, 2]}]
    expected = {"bnn": [1], "a/b(2)": [1, 2]}
    assert zoo_tables.missing_runs(command, found) == expected
    table = zoo_tables.sweep_table("cifar10_jpeg/methods")
    assert "| `float` | 32 / 32 |" in table
