"""The page about other tools: each `py` block runs where the tool is installed."""

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path

import pytest

import larqlite as lq
from larqlite.errors import MissingFileError
from larqlite.layers import _base
from tests.test_docs import compare, pages

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tools.md"
TOOLS = {
    "MLflow": "mlflow",
    "Weights & Biases": "wandb",
    "Optuna": "optuna",
    "KerasTuner": "keras_tuner",
    "Netron": "netron",
}
EXAMPLE = re.compile(r"^```py\n(.*?)^```\n\n```text\n(.*?)^```", re.M | re.S)


def sections():
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return parts[0], dict(zip(parts[1::2], parts[2::2], strict=True))


# What other packages say of their own future.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("title", TOOLS)
def test_the_example_of_a_tool_prints_what_the_page_shows(title, monkeypatch):
    pytest.importorskip(TOOLS[title], reason=f"needs the package {TOOLS[title]}")
    monkeypatch.setenv("WANDB_SILENT", "true")
    start, by_title = sections()
    code, expected = EXAMPLE.search(by_title[title]).groups()
    with pages.fresh_page() as namespace:
        (setup,) = pages.blocks_of(start)
        pages.run(setup, PAGE, namespace)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), namespace)
    assert compare.matches(expected, printed.getvalue())


def test_every_tool_has_a_section_with_an_example():
    _, by_title = sections()
    for title in TOOLS:
        assert EXAMPLE.search(by_title[title]), title
    assert {"TensorBoard", "tf.data", "Several GPUs", "Colab"} <= set(by_title)


def test_without_mlflow_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingFileError, match=r"(?s)Fix: pip install mlflow"):
        lq.callbacks.MLflowLog()


class Utilities:
    """In the place of `mlflow.utils.autologging_utils`, with autolog on."""

    @staticmethod
    def autologging_is_disabled(flavor):
        return flavor != "tensorflow"


def test_an_autolog_that_would_log_nothing_is_warned_of_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mlflow.utils.autologging_utils", Utilities)
    monkeypatch.setitem(sys.modules, "mlflow.tensorflow", importlib)
    monkeypatch.setattr(_base._warn_of_silent_autolog, "__defaults__", (set(),))
    for _ in range(2):
        lq.layers.QuantDense(2).build((None, 3))
    assert caplog.text.count("MLflow's autolog is on") == 1
    assert "lq.callbacks.MLflowLog()" in caplog.text
