"""The page about other tools: each `py` block runs where the tool is installed."""

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tf_keras

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


class Mlflow:
    """As much of mlflow as a callback asks of it; it refuses what mlflow refuses."""

    def __init__(self):
        self.run, self.ended, self.artifacts, self.metrics = None, [], [], []

    def active_run(self):
        return self.run

    def start_run(self):
        info, data = SimpleNamespace(run_id="r"), SimpleNamespace(params={})
        self.run = SimpleNamespace(info=info, data=data)
        return self.run

    def get_run(self, run_id):
        return self.run

    def log_params(self, params):
        for name, value in params.items():
            if self.run.data.params.setdefault(name, str(value)) != str(value):
                raise ValueError(f"{name} was logged with another value")

    def log_metrics(self, metrics, step):
        self.metrics.append((step, metrics))

    def log_artifact(self, path):
        self.artifacts.append(Path(path).name)

    def end_run(self, status="FINISHED"):
        self.run = self.ended.append(status)


@pytest.fixture
def mlflow(monkeypatch):
    made = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", made)
    return made


def small(rate=0.1):
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    layer = lq.layers.QuantDense(3, input_quantizer="ste_sign", **binary)
    model = tf_keras.Sequential([tf_keras.Input((4,)), layer], name="net")
    model.compile(tf_keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    return model


X, Y = np.ones((4, 4), np.float32), np.ones((4, 3), np.float32)


def test_a_broken_training_ends_its_run_and_the_next_has_its_own(mlflow):
    def breaks(epoch, logs):
        raise KeyboardInterrupt

    log = lq.callbacks.MLflowLog()
    broken = tf_keras.callbacks.LambdaCallback(on_epoch_end=breaks)
    with pytest.raises(KeyboardInterrupt):
        small().fit(X, Y, verbose=0, callbacks=[log, broken])
    small(0.2).fit(X, Y, verbose=0, callbacks=[log])
    assert mlflow.ended == ["FAILED", "FINISHED"]
    assert mlflow.artifacts == ["net.onnx"]


def test_a_run_of_several_trainings_keeps_its_first_parameters(mlflow):
    mlflow.start_run()
    for rate, epochs in ((0.1, 1), (0.2, 2)):
        log = lq.callbacks.MLflowLog(packed=False)
        small(rate).fit(X, Y, epochs=epochs, verbose=0, callbacks=[log])
    assert mlflow.run.data.params["epochs"] == "1"
    assert not mlflow.ended
    assert len(mlflow.metrics) == 3
