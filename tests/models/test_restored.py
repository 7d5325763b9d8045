"""Subclassed models from a SavedModel, with their class and without it."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import cli

X = np.zeros((2, 5), "float32")


class Base(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.d = lq.layers.QuantDense(
            4,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        )


class Training(Base):
    def call(self, x, training=None):
        return self.d(x)


class Masked(Base):
    def call(self, x, training=False, mask=None):
        return self.d(x)


class Alone(Base):
    def call(self, x):
        return self.d(x)


class Named(Base):
    def call(self, x, training=None):
        return self.d(x["a"]) + self.d(x["b"])


class Listed(Base):
    def call(self, x, training=None):
        return self.d(x[0]) + self.d(x[1])


class Several(Base):
    def call(self, x, y, scale=None, *, z=None, training=None):
        return self.d(x) + self.d(y)


SLOW = pytest.mark.slow
CASES = [
    (Training, (X,), 1),
    (Named, ({"b": X, "a": X},), 2),
    (Several, (X, X), 2),
    pytest.param(Masked, (X,), 1, marks=SLOW),
    pytest.param(Alone, (X,), 1, marks=SLOW),
    pytest.param(Listed, ([X, X],), 2, marks=SLOW),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cls", "inputs", "calls"), CASES)
def test_a_subclassed_model_is_summarized_live_loaded_and_restored(
    cls, inputs, calls, tmp_path, monkeypatch, capsys, caplog
):
    model = cls()
    model(*inputs)
    model.save(tmp_path / "net", save_format="tf")
    expected = lq.models.profile(model)
    assert expected.macs_by_bits == {(1, 1): calls * 20}

    loaded = lq.models.load(tmp_path / "net", {cls.__name__: cls})
    assert lq.models.profile(loaded).macs_by_bits == expected.macs_by_bits
    np.testing.assert_array_equal(loaded(*inputs), model(*inputs))
    assert "knows no class" not in caplog.text

    restored = lq.models.load(tmp_path / "net")
    assert "knows no class" in caplog.text
    found = lq.models.summary(restored, print_fn=lambda line: None)
    (row,) = [each for each in found.layers if each.class_name == "QuantDense"]
    assert found.deployed_bytes == expected.deployed_bytes
    # What cannot be looked into is not called none.
    assert row.macs_by_bits is None
    assert f"custom_objects={{'{cls.__name__}': {cls.__name__}}}" in row.macs_reason

    monkeypatch.chdir(tmp_path)
    cli.main(["summary", "net"])
    assert "20" in capsys.readouterr().out
    for refused in (
        lambda: lq.deploy.export(restored, "net.onnx"),
        lambda: lq.qat.quantize_model(restored),
        lambda: lq.integer.models.quantize(restored, samples=X),
        lambda: lq.models.freeze(restored),
    ):
        with pytest.raises(lq.errors.UnsupportedModelError, match="Fix"):
            refused()
