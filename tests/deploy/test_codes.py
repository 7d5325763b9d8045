"""Inputs of 3 to 8 bits against kernels of few bits: exported, planned on codes, exact."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite_runtime.backends import _native
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read
from tests.deploy.level_quantizers import SignedSteps

Q, q = lq.layers, lq.quantizers
ISAS = [
    isa
    for isa, number in _native.INSTRUCTION_SETS.items()
    if _native.library() is not None and _native.library().lq_supports(number)
]


def weights(bits):
    return {1: "ste_sign", 1.5: "ste_tern"}.get(bits) or q.DoReFa(bits, mode="weights")


def conv(bits, activations, filters=20, size=3, **kwargs):
    return Q.QuantConv2D(
        filters,
        size,
        kernel_quantizer=weights(bits),
        input_quantizer=activations,
        **kwargs,
    )


def signed(low, high):
    return SignedSteps(low, high, scale=1.0)


LAYERS = {
    "ternary": conv(1.5, q.DoReFa(8)),
    "ternary_zeros": conv(1.5, q.DoReFa(8), padding="same"),
    "ternary_ones": conv(1.5, q.DoReFa(8), padding="same", pad_values=1.0, strides=2),
    "signed_zeros": conv(1.5, signed(-128, 127), padding="same", filters=70),
    "signed_wide": conv(1.5, signed(-200, 55), padding="same", pad_values=-1.0),
    "unsigned_minus": conv(4, signed(0, 255), padding="same"),
    "groups": conv(1.5, q.DoReFa(5), groups=4, padding="same"),
    "groups_of_three": conv(2, signed(-20, 30), groups=2, dilation_rate=2),
    "two_bits": conv(2, q.DoReFa(8), strides=(2, 1)),
    "three_bits": conv(3, q.DoReFa(4), padding="same"),
    "four_bits": conv(4, q.DoReFa(8), padding="same"),
    "eight_bits": conv(8, q.DoReFa(8), size=2),
    "binary": conv(1, q.DoReFa(8), padding="same"),
    "ternary_ternary_groups": conv(1.5, "ste_tern", groups=4, padding="same"),
    "depthwise": Q.QuantDepthwiseConv2D(
        3,
        depth_multiplier=2,
        padding="same",
        depthwise_quantizer=weights(4),
        input_quantizer=q.DoReFa(8),
    ),
    "transposed": Q.QuantConv2DTranspose(
        7,
        3,
        strides=2,
        kernel_quantizer="ste_tern",
        input_quantizer=signed(-100, 100),
    ),
    "dense": Q.QuantDense(37, kernel_quantizer="ste_tern", input_quantizer=q.DoReFa(8)),
    "dense_binary": Q.QuantDense(
        300, kernel_quantizer="ste_sign", input_quantizer=signed(-128, 127)
    ),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """All layers side by side: the Keras model, the report, the file."""
    inputs = tf_keras.Input((6, 7, 8))
    outputs = []
    for name, layer in LAYERS.items():
        x = type(layer).from_config(layer.get_config() | {"name": name})(inputs)
        outputs.append(tf_keras.layers.Activation("linear", name=f"{name}_out")(x))
    model = tf_keras.Model(inputs, outputs)
    rng = np.random.default_rng(2)
    model.set_weights(  # some of them 0 as ternary ones
        [rng.uniform(-0.12, 0.12, array.shape) for array in model.get_weights()]
    )
    path = tmp_path_factory.mktemp("codes") / "net.onnx"
    return model, lq.deploy.export(model, path, verify=False), path


def images():
    """Values between, on levels, of all signed ones, and the ends."""
    x = np.random.default_rng(3).uniform(-0.5, 1.5, (4, 6, 7, 8)).astype(np.float32)
    x[1] = np.rint(x[1] * 255) / 255
    x[2] = np.rint(x[2] * 200 - 100)
    x[3] = np.sign(x[3] - 0.5) * 1e3
    return x


def test_no_layer_is_left_in_float(exported):
    _, report, path = exported
    assert report.float_layers == ()
    assert "float layers: none" in str(report)
    model = larqlite_runtime.load(path)
    assert model.float_layers == {}
    steps = model.explain().steps
    made_by = {name: step.kind for step in steps for name in step.nodes}
    found = {name: made_by[name] for name in LAYERS}
    assert found.pop("depthwise") == "depthwise_codes"
    of_one_bit = {found.pop(name) for name in ("binary", "dense_binary")}
    assert of_one_bit <= {"conv", "conv_codes", "conv_lookups"}
    assert set(found.values()) == {"conv_codes"}


@pytest.mark.parametrize("isa", [*ISAS, "numpy"])
def test_every_instruction_set_gives_what_keras_gives(exported, isa):
    model, _, path = exported
    x = images()
    found = larqlite_runtime.load(path, isa=isa).run(x)
    wanted = model(x, training=False)
    assert len(found) == len(wanted)
    for (name, got), right in zip(found.items(), wanted, strict=True):
        np.testing.assert_allclose(
            got, right, rtol=2e-6, atol=1e-4, err_msg=f"{isa}: {name}"
        )


def test_all_instruction_sets_and_numpy_agree_to_the_bit(exported):
    _, _, path = exported
    x = images()
    wanted = larqlite_runtime.load(path, isa="numpy").run(x)
    for isa in ISAS:
        found = larqlite_runtime.load(path, isa=isa).run(x)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"{isa} {name}")


def test_the_verification_is_exact(exported):
    model, _, path = exported
    result = lq.deploy.verify(model, path)
    assert result.ok, str(result)


@pytest.mark.parametrize("isa", [*_native.INSTRUCTION_SETS, "numpy"])
def test_the_plan_of_every_instruction_set_is_sound(exported, isa):
    _, _, path = exported
    found = plan(read(path.read_bytes()), isa=isa, checked=True)
    assert found.why_float == {}
