"""Every layer class of Keras 3 alone, with every argument that changes its numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from larqlite.from_keras import convert
from tests.from_keras.layer_cases import CALLS, CASES
from tests.from_keras.networks import equal, randomized

K = keras.layers
DTYPES = {"int": "int32", "str": "string"}


def inputs_of(specs):
    """A Keras 3 input for each shape; the word before it says what is in it."""
    inputs, dtype = [], "float32"
    for spec in specs:
        if isinstance(spec, str):
            dtype = DTYPES[spec]
        else:
            inputs.append(keras.Input(spec, dtype=dtype))
            dtype = "float32"
    return inputs


def values_of(inputs):
    rng = np.random.default_rng(7)
    made = []
    for tensor in inputs:
        shape = (3, *tensor.shape[1:])
        if tensor.dtype == "string":
            made.append(rng.choice(["red", "green", "Red!", "blue", ""], shape))
        elif "int" in tensor.dtype:
            made.append(rng.integers(0, 7, shape).astype("int32"))
        else:
            made.append(rng.normal(size=shape).astype("float32"))
    return [keras.ops.convert_to_tensor(value) for value in made]


def compared(inputs, outputs):
    """Converts a model, and compares it with numbers that the conversion did not see."""
    theirs = randomized(keras.Model(inputs, outputs))
    converted = convert(theirs)
    values = values_of(inputs)
    equal(converted.model, theirs, values if len(values) > 1 else values[0])
    return max([converted.difference, *converted.differences.values()])


def with_slow_ones(rows):
    """The rows as parameters; recurrent layers, which TensorFlow traces, are fast ones once."""
    seen, params = set(), []
    for row in rows:
        name = row[0].partition("(")[0]
        again = name in seen and any(word in row[0] for word in ("RNN", "LSTM", "GRU"))
        seen.add(name)
        marks = [pytest.mark.slow] * again
        params.append(pytest.param(row, marks=marks, id=f"{row[0]} {row[1:]}"))
    return params


@pytest.mark.parametrize("row", with_slow_ones(CASES))
def test_a_layer_computes_the_same(row):
    layer = eval(f"K.{row[0]}", {"K": K})
    inputs = inputs_of(row[1:])
    assert compared(inputs, layer(inputs if len(inputs) > 1 else inputs[0])) <= 1e-5


@pytest.mark.parametrize("row", with_slow_ones(CALLS))
def test_a_layer_computes_the_same_however_it_is_called(row):
    layer = eval(f"K.{row[0]}", {"K": K})
    inputs = inputs_of(row[2:])
    names = dict(zip("abc", inputs, strict=False))
    assert compared(inputs, eval(row[1], {"layer": layer, **names})) <= 1e-5


def test_the_table_has_every_class_that_has_a_rule():
    from larqlite.from_keras._layers import RULES

    text = " ".join(row[0] for row in [*CASES, *CALLS])
    elsewhere = {"LayerScale", "CustomScaleLayer", "RandomCrop", "StackedRNNCells"}
    elsewhere |= {"QuantConv2D", "QuantDense", "QuantDepthwiseConv2D"}  # of lq.keras3
    missing = {name for name in RULES if f"{name}(" not in text} - elsewhere
    assert not missing
    assert len(RULES) >= 60
