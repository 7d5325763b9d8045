"""Operations of `keras.ops` in Keras 3 models come in, and are saved and loaded."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras
from keras import ops

import larqlite as lq
from larqlite.from_keras import convert
from tests.from_keras.networks import equal, noise
from tests.from_keras.operation_cases import OPERATIONS

GROUPS = [OPERATIONS[i::6] for i in range(6)]


def inputs():
    dtypes = {"a": "float32", "b": "float32", "i": "int32", "m": "bool"}
    return {n: keras.Input((3, 4), dtype=d, name=n) for n, d in dtypes.items()}


def values(batch=2):
    rng = np.random.default_rng(3)
    shape = (batch, 3, 4)
    return {
        "a": rng.normal(size=shape).astype("float32"),
        "b": rng.normal(size=shape).astype("float32"),
        "i": rng.integers(0, 7, shape).astype("int32"),
        "m": rng.random(shape) < 0.5,
    }


@pytest.mark.parametrize("group", range(6))
def test_operations_compute_the_same_and_are_loaded_again(group, tmp_path):
    given = inputs()
    outputs = [eval(text, {"ops": ops, **given}) for text in GROUPS[group]]
    theirs = keras.Model(given, outputs)
    converted = convert(theirs)
    assert max(converted.differences.values()) <= 1e-5
    equal(converted.model, theirs, values())
    converted.model.save(tmp_path / "model.keras")
    again = lq.models.load(tmp_path / "model.keras")
    for a, b in zip(
        keras.tree.flatten(again(values())),
        keras.tree.flatten(converted.model(values())),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_what_layers_compute_becomes_layers_that_others_know():
    a, b = keras.Input((4, 4, 2)), keras.Input((4, 4, 2))
    x = (a + b) * 0.5 - ops.relu6(a)
    x = ops.concatenate([ops.silu(x), b * ops.mean(b, axis=(1, 2), keepdims=True)], -1)
    ours = lq.models.from_keras(keras.Model([a, b], ops.reshape(x, (-1, 64))))
    kinds = {type(layer).__name__ for layer in ours.layers}
    assert kinds == {
        *("InputLayer", "Add", "Rescaling", "Subtract", "ReLU", "Concatenate"),
        *("Activation", "Multiply", "GlobalAveragePooling2D", "Reshape"),
    }


@pytest.mark.parametrize("name", ["hard_silu", "hard_sigmoid"])
def test_hard_activations_become_layers_that_export(name, tmp_path):
    x = keras.Input((4,))
    layer = keras.layers.Activation(name, name="hard")
    theirs = keras.Model(x, layer(layer(x)))
    ours = lq.models.from_keras(theirs)
    assert [type(la) for la in ours.layers[1:]] == [tf_keras.layers.Activation]
    equal(ours, theirs, 4 * noise(5, 4))
    lq.deploy.export(ours, tmp_path / "hard.onnx")
    assert lq.deploy.verify(ours, tmp_path / "hard.onnx", 4 * noise(5, 4)).ok
    alone = keras.Sequential([keras.Input((4,)), keras.layers.Activation(name)])
    assert type(lq.models.from_keras(alone)) is tf_keras.Sequential


def test_an_operation_without_a_rule_is_refused_by_name():
    x = keras.Input((4, 4))
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=r"Cholesky[\s\S]*keras3_converter"
    ) as e:
        lq.models.from_keras(keras.Model(x, ops.cholesky(x)))
    assert "Fix: " in str(e.value)
