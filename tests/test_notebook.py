"""What a notebook shows of a report: the cells of its text, escaped, once."""

from __future__ import annotations

import ast
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from IPython.core.interactiveshell import InteractiveShell

import larqlite as lq
import larqlite_runtime
from larqlite.analysis import Diagnosis, Illness, LayerSensitivity, Sensitivity
from larqlite.deploy.targets import TargetRow, TargetsReport
from larqlite.deploy.targets.c import CLayer, CReport
from larqlite.integer.export._comparison import Comparison, IntegerLayerComparison
from larqlite.integer.models import DataReport, IntegerLayerReport
from larqlite.qat.tflite._comparison import LayerComparison, TFLiteComparison
from larqlite.search import BitsPoint, BitsSearch
from larqlite_runtime.benchmark_result import Benchmark, Timing
from larqlite_runtime.notebook import ShownTable, ShowsTables

ROOT = Path(__file__).resolve().parent.parent
NAMED = "<b>conv</b> & co"


class Cells(HTMLParser):
    """The texts of the cells of some HTML, row by row, and all other texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.others: list[str] = []
        self._open: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self._open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif data.strip():
            self.others.append(data)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A report of each class, by its name."""
    file = tmp_path_factory.mktemp("notebook") / "a.onnx"
    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4, 4, 32)),
            lq.layers.QuantConv2D(32, 3, name="conv", **binary),
            tf_keras.layers.Flatten(name="flat"),
            lq.layers.QuantDense(4, name="labels"),
        ],
        name="small",
    )
    report = lq.deploy.export(model, file, verify=False)
    loaded = larqlite_runtime.load(file)
    profile = loaded.profile(np.zeros((1, 4, 4, 32), "float32"), repeat=1)
    timings = [
        Timing("larqlite", "packed", 0.001, 0.0009, 0.0011, 10, 0.0),
        Timing("onnxruntime", "float", 0.0052, 0.005, 0.0054, 10, 1e-6),
    ]
    import larqlite_zoo
    from larqlite_zoo.training import Evaluation, Result

    found = [
        report,
        lq.deploy.verify(model, file, samples=2),
        lq.models.profile(model),
        lq.qat.report(model, verbose=False),
        loaded.explain(),
        profile,
        Benchmark("a.onnx", 1000, 1, 1, "avx2", tuple(timings), profile),
        DataReport(
            [IntegerLayerReport(NAMED, "Conv", 8, {"k": 8}, 20, 28, (-3, -1), 8)]
        ),
        Comparison(
            "net", "onnx", 5, 1.0, 0.5, 0.5, 1.0, (IntegerLayerComparison(NAMED, 9, 1, 1),)
        ),
        TFLiteComparison(
            "net", 5, 1.0, 0.5, 0.1, 5.0, 0.0, 1.5, None,
            (LayerComparison(NAMED, 1, 0.1, 0.5, 0.0),), ("lost",),
        ),
        larqlite_zoo.card("binary_vgg_small"),
        Evaluation("m", "d", "w.h5", 1000, 92.5, 99.5, 0.25),
        lq.deploy.to_flat(file, file.with_name("a.lqflat")),
        CReport(
            "net", (Path("net.c"), Path("net.h")),
            (CLayer(NAMED, "a sum", "dense", 500, 600, 700, 80, 0),), 80, 64, 60, 0, 900, 40,
        ),
        TargetsReport("net", 5, (TargetRow("c", "gcc", refused=NAMED),), {}),
        Sensitivity(
            "net", 5, 5, ("int8",),
            (LayerSensitivity(NAMED, "Conv2D", 9, "int8", 20.0, 19.0, 0.5, 0.1),),
            {NAMED: (NAMED,)}, 0.6, {"measured": 2.0, "gradients": 0.1},
        ),
        Diagnosis("net", 5, 8, (Illness(NAMED, "dead kernels", 0.5, 0.25, "another"),)),
        BitsSearch(
            "net", "bytes", "B", 100.0, 400.0, 0.5, 9,
            (point := BitsPoint({NAMED: "int4"}, 90.0, 0.1, 9.5, 0.25),), point,
        ),
        Result({"model": "m", "dataset": "d", "top1": 92.5}, [], None, Path("run")),
    ]  # fmt: skip
    return {type(report).__name__: report for report in found}


def subclasses(cls) -> set[str]:
    return {cls.__name__ for cls in cls.__subclasses__()}


def test_each_class_that_is_shown_as_tables_is_looked_at_here(reports):
    assert set(reports) == subclasses(ShowsTables)


def text_of(report) -> str:
    if isinstance(report, lq.models.ModelProfile):
        return report.to_markdown().replace("\\_", "_")
    if type(report).__name__ == "Result":  # a folder of files, which has no text
        row = [*report.row, *map(str, report.row.values())]
        return " ".join([*row, "m on d", f"in {report.output}"])
    if hasattr(report, "print"):
        lines: list[str] = []
        report.print(lines.append)
        return "\n".join(lines)
    if type(report).__name__ == "Card":
        from rich.console import Console

        from larqlite_zoo._show import print_card

        console = Console(width=400, record=True, file=io.StringIO())
        print_card(report, console)
        return console.export_text()
    return str(report)


def words_of(text: str) -> str:
    """Without frames and spaces, however a table is set."""
    return "".join(c for c in text if c not in " \n|+-#\xa0")


def test_the_html_has_the_cells_of_the_text_and_its_notes(reports):
    for name, report in reports.items():
        found = Cells(report._repr_html_())
        text = words_of(text_of(report))
        if name == "Evaluation":  # a sentence, which has no titles of columns
            found.rows = found.rows[1:]
        cells = [cell for row in found.rows for cell in row]
        assert cells, name
        for part in [*cells, *found.others]:
            assert words_of(part) in text, (name, part)


def test_what_a_user_named_is_escaped(reports):
    for name in ("DataReport", "Comparison", "TFLiteComparison"):
        found = Cells(reports[name]._repr_html_())
        assert NAMED in [row[0] for row in found.rows]
        assert "b" not in found.tags


def test_numbers_stand_to_the_right_and_names_to_the_left():
    rows = [("conv", "1,024", "3x3", "-"), ("dense", "-", "7", "1.5 %")]
    table = ShownTable("", ("layer", "bytes", "size", "share"), rows)
    assert table._columns_of_numbers() == {1, 3}


def test_nothing_has_a_colour_of_its_own_so_that_dark_notebooks_stay_dark(reports):
    for report in reports.values():
        html = report._repr_html_()
        assert "color:" not in html.replace("background-color:", "color:")
        assert "#" not in html.replace("# 1-bit", "").replace("# 32-bit", "")


def test_every_class_with_a_table_as_its_text_is_shown_as_html():
    """By the sources: a class with `__str__` or `print`, where tables are made."""
    missing = []
    for package in ("larqlite", "larqlite_runtime", "larqlite_zoo"):
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if not any(
                way in source
                for way in ("_tables import", "tables import", "tables.text(")
            ):
                continue
            for node in ast.walk(ast.parse(source)):
                if not isinstance(node, ast.ClassDef):
                    continue
                methods = {f.name for f in node.body if isinstance(f, ast.FunctionDef)}
                bases = {ast.unparse(base) for base in node.bases}
                if methods & {"__str__", "print"} and "ShowsTables" not in bases:
                    missing.append(f"{path.name}: {node.name}")
    assert missing == []


def test_a_cell_that_has_printed_the_summary_does_not_show_it_twice(capsys):
    """In IPython itself: the cell's printed table, then one line; the next cell HTML."""
    shell = InteractiveShell.instance()
    try:
        layer = tf_keras.layers.Dense(2, name="fc")
        model = tf_keras.Sequential([tf_keras.Input((3,)), layer], name="net")
        shell.push({"lq": lq, "model": model})
        formats = []
        shell.display_formatter.active_types = ["text/html", "text/plain"]
        original = shell.display_formatter.format
        shell.display_formatter.format = lambda *a, **k: (
            formats.append(original(*a, **k)[0]) or ({}, {})
        )
        shell.run_cell("costs = lq.models.summary(model); costs", store_history=True)
        shell.run_cell("costs", store_history=True)
    finally:
        InteractiveShell.clear_instance()
    assert "net summary" in capsys.readouterr().out
    first, second = formats
    assert "text/html" not in first
    assert first["text/plain"].startswith('<ModelProfile "net"')
    assert Cells(second["text/html"]).rows[1][0] == "fc"
