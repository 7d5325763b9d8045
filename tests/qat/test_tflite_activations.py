"""Activations and merges that are integers in TFLite's files, and those that are not."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.qat.tflite.internal import read_file
from tests.common.eager import quantize_model
from tests.qat.tflite_models import L, randomized

IMAGES = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype("float32")
OF_INTEGERS = ("swish", "elu", "gelu", "hard_swish", "leaky_relu")


def with_activations(names):
    """A convolution and a dense layer for each function, all of one input."""
    inputs = tf_keras.Input((6, 6, 3))
    flat, joined = L.Flatten()(inputs), []
    for name in names:
        x = L.Conv2D(4, 3, activation=name, name=f"conv_{name}")(inputs)
        joined.append(L.Dense(2)(L.Flatten()(x)))
        x = L.Dense(5, activation=name, name=f"dense_{name}")(flat)
        joined.append(L.Dense(2)(x))
    return randomized(tf_keras.Model(inputs, L.Concatenate()(joined)))


def require_int8(model, steps=2):
    """The quantized model, whose file has no float operation, and the comparison."""
    quantized = quantize_model(model, calibrate=IMAGES)
    content = qat.to_tflite(quantized)
    assert content.float_layers == ()
    assert not read_file(content, "").float_operations()
    found = qat.compare_tflite(quantized, content, IMAGES)
    assert found.largest_difference <= (steps + 0.01) * found.step
    return quantized, {row.layer: row for row in found.layers}


def test_activations_of_layers_with_kernels_are_integers():
    model, rows = require_int8(with_activations(OF_INTEGERS))
    for name in OF_INTEGERS:
        for kind in ("conv", "dense"):
            layer = model.get_layer(f"quant_{kind}_{name}")
            roles = [role for role, _, _ in layer.value_quantizers]
            assert roles == ["pre-activation", "activation"]
            # A sum in the middle of two levels may be a step off before the function, and
            # these steps are up to twice those behind it; no function is steeper than 1.5.
            assert rows[layer.name].largest_steps <= (1.01 if kind == "dense" else 3.01)
            assert rows[layer.name].share_off < 0.3


def test_an_elu_of_finer_steps_than_those_of_integers_is_float():
    model = with_activations(["elu"])
    for layer in model.layers:
        if "conv" in layer.name:
            layer.kernel.assign(layer.kernel / 30)
            layer.bias.assign(layer.bias / 30)
    model = quantize_model(model, calibrate=IMAGES)
    content = qat.to_tflite(model)
    assert content.float_layers == ("quant_conv_elu",)
    assert '"quant_conv_elu"' in content.notes[0]
    rows = {r.layer: r for r in qat.compare_tflite(model, content, IMAGES).layers}
    assert rows["quant_conv_elu"].largest_steps <= 1.01


@pytest.mark.slow
def test_the_other_activations_are_float_by_name():
    names = ("selu", "softplus", "mish", "hard_sigmoid")
    model = quantize_model(with_activations(names), calibrate=IMAGES)
    content = qat.to_tflite(model)
    wanted = {f"quant_{kind}_{name}" for kind in ("conv", "dense") for name in names}
    assert set(content.float_layers) == wanted
    assert all(any(f'"{layer}"' in note for note in content.notes) for layer in wanted)


def merged(*merges):
    """Sums and means of convolutions of one input, side by side."""
    inputs, outputs = tf_keras.Input((6, 6, 3)), []
    for cls, count in merges:
        sides = [L.Conv2D(4, 3)(inputs) for _ in range(count)]
        x = cls(name=f"{cls.__name__}_{count}")(sides)
        outputs.append(L.Conv2D(2, 3)(L.ReLU()(x)))
    outputs = L.Concatenate()(outputs) if len(outputs) > 1 else outputs[0]
    return randomized(tf_keras.Model(inputs, outputs))


def test_sums_and_means_of_any_number_are_integers():
    _, rows = require_int8(merged((L.Add, 4), (L.Average, 2), (L.Average, 3)))
    # A step of what is added is a step of the sum at most, and it rounds once more.
    assert max(row.largest_steps for row in rows.values()) <= 3.01
    assert max(row.share_off for row in rows.values()) < 0.1


def test_sums_and_means_become_sums_of_two():
    float_model = merged((L.Average, 3))
    model = quantize_model(float_model, calibrate=IMAGES)
    kinds = {layer.name: layer for layer in model.layers if "Average" in layer.name}
    assert {name: type(x.layer).__name__ for name, x in kinds.items()} == {
        "quant_Average_3_sum_2": "Add",
        "quant_Average_3_sum_3": "Add",
        "quant_Average_3": "Rescaling",
    }
    wanted, got = float_model(IMAGES), model(IMAGES)
    assert np.max(np.abs(wanted - got)) < 0.1 * np.max(np.abs(wanted))


def test_a_sum_with_a_config_of_its_own_or_in_float_stays_one():
    model = merged((L.Add, 3))
    own = qat.LayerQuantizeConfig(outputs=qat.quantizers.MovingAverageQuantizer(4))
    for scheme in (own, "float"):
        kept = quantize_model(model, scheme={"Add_3": scheme, "*": "int8"})
        names = [layer.name for layer in kept.layers]
        assert not any("sum" in name for name in names)


def test_a_mean_of_masked_sequences_stays_one():
    inputs = tf_keras.Input((4, 3))
    x = L.Masking()(inputs)
    model = tf_keras.Model(inputs, L.Average(name="mean")([x, x * 2.0]))
    assert model.get_layer("mean").output._keras_mask is not None
    quantized = quantize_model(model, calibrate=np.ones((2, 4, 3), "float32"))
    assert type(quantized.get_layer("quant_mean").layer) is L.Average


def test_a_shared_sum_has_one_set_of_sums():
    inputs = tf_keras.Input((3,))
    add = L.Add(name="add")
    parts = [L.Dense(3)(inputs) for _ in range(3)]
    model = tf_keras.Model(inputs, add([add(parts), *parts[:2]]))
    quantized = quantize_model(model, calibrate=np.ones((2, 3), "float32"))
    names = [layer.name for layer in quantized.layers if "add" in layer.name]
    assert sorted(names) == ["quant_add", "quant_add_sum_2"]


@pytest.mark.parametrize(
    "ending", [".keras", pytest.param(".h5", marks=pytest.mark.slow)]
)
def test_places_of_quantizers_are_in_files(ending, tmp_path):
    model = quantize_model(with_activations(["swish"]), calibrate=IMAGES)
    model.save(tmp_path / f"model{ending}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{ending}")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_a_config_without_places_rounds_as_it_did():
    config = qat.LayerQuantizeConfig(activations={"activation": "dorefa"})
    assert "places" not in config.get_config()
    wrapped = qat.QuantizeWrapperV2(L.Dense(2, activation="swish"), config)
    wrapped.build((None, 3))
    assert [role for role, _, _ in wrapped.value_quantizers] == ["activation"]
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)'behind'.*\"?'before'"):
        qat.LayerQuantizeConfig(places={"activation": "behind"})


def test_what_is_concatenated_keeps_the_rounding_before_its_activation():
    names = ("swish", "hard_swish")
    inputs = tf_keras.Input((6, 6, 3))
    sides = [L.Conv2D(4, 3, activation=a, name=a)(inputs) for a in names]
    outputs = L.Conv2D(2, 3)(L.Concatenate()(sides))
    model, _ = require_int8(randomized(tf_keras.Model(inputs, outputs)))
    for name in names:
        roles = [r for r, _, _ in model.get_layer(f"quant_{name}").value_quantizers]
        assert roles == ["pre-activation"]
