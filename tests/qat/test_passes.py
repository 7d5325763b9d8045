"""Passes give models the structure that TFMOT 0.8.1 gives, where it is not at fault."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.errors import UnsupportedLayerError
from larqlite.qat import passes
from larqlite.qat.schemes import _rules
from larqlite.qat.wrapper import name_of
from tests.common.eager import quantize_model
from tests.qat.reference_models import MODELS, chain, normalization, relu
from tests.qat.structures import structure

GOLDEN = Path(__file__).resolve().parent.parent / "golden/qat_structures.json"
REFERENCE = json.loads(GOLDEN.read_text())
SLOW = ("transfer", "mobilenet_v2", "resnet50")
layers = tf_keras.layers
CHANNELS = "LastValueQuantizer 8 per_axis symmetric narrow"
WHOLE = "LastValueQuantizer 8 symmetric narrow"


def kernels_stay_quantized(found: list[dict], model) -> None:
    """The reference takes the kernel's quantizer away before a ReLU layer."""
    for row in found:
        if row.get("layer") in ("Conv2D", "Dense") and "weights" not in row:
            inner = model.get_layer(row["name"].removeprefix("quant_"))
            per_axis = row["layer"] == "Conv2D"
            row["weights"] = {"kernel": CHANNELS if per_axis else WHOLE}
            row["params"] += 2 * inner.kernel.shape[-1] if per_axis else 2


def one_range_after_dense_normalization_and_relu(found: list[dict], model) -> None:
    """The reference quantizes twice here, and its TFLite model is partly float."""
    by_name = {row["name"]: row for row in found}
    del by_name["quant_bn"]["output"]
    by_name["quant_bn"]["params"] -= 2


def one_range_for_what_is_concatenated(found: list[dict], model) -> None:
    """The reference quantizes some of what is only concatenated before that too."""
    for row in found:
        if row["name"].startswith(("quant_conv_", "quant_relu_")):
            part = "post_activation" if row["layer"] == "Conv2D" else "output"
            row["params"] -= 2 * (part in row)
            row.pop(part, None)


def separable_parts_keep_the_name(found: list[dict], model) -> None:
    """The reference names the parts by their class, and counts them up."""
    found[2]["name"], found[3]["name"] = "quant_conv_depthwise", "quant_conv"


def swish_has_a_range_before(found: list[dict], model) -> None:
    """The reference's TFLite model computes a convolution with a swish in float32."""
    row = next(row for row in found if row["name"] == "quant_conv_swish")
    row["pre_activation"] = row["post_activation"]
    row["params"] += 2


OUR_WAY = {
    "functions": swish_has_a_range_before,
    "conv_relu": kernels_stay_quantized,
    "conv_activation": kernels_stay_quantized,
    "dense_relu": kernels_stay_quantized,
    "dense_bn_relu": one_range_after_dense_normalization_and_relu,
    "separable_bn_relu": separable_parts_keep_the_name,
    **{f"concatenate_{n}": one_range_for_what_is_concatenated for n in range(2, 7)},
    "nested_concatenate": one_range_for_what_is_concatenated,
    "dense_block": one_range_for_what_is_concatenated,
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MODELS],
)
def test_names_classes_counts_and_quantizers_are_the_references(name):
    model = MODELS[name]()
    quantized = qat.quantize_model(model)
    expected = REFERENCE[name]["layers"]
    if name in OUR_WAY:
        before = json.dumps(expected)
        OUR_WAY[name](expected, model)
        assert json.dumps(expected) != before
    assert [structure(layer) for layer in quantized.layers] == expected
    assert quantized.count_params() == sum(row["params"] for row in expected)


def outputs_quantized(model) -> list[str]:
    """The layers whose output, or activation's output, is quantized, without prefix."""
    rows = [structure(layer) for layer in model.layers]
    return [
        row["name"].removeprefix("quant_")
        for row in rows
        if row["class"] == "QuantizeWrapperV2"
        and {"output", "post_activation"} & {*row}
    ]


def test_a_normalization_after_an_activated_convolution_is_quantized_by_itself():
    model = chain(layers.Conv2D(4, 3, activation="relu", name="conv"), normalization())
    assert outputs_quantized(qat.quantize_model(model)) == ["conv", "bn"]


def test_a_shared_convolution_keeps_its_range_before_two_normalizations():
    inputs = tf_keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3, name="conv")
    outputs = [
        layers.BatchNormalization(name=f"bn_{i}")(shared(inputs * (i + 1.0)))
        for i in range(2)
    ]
    quantized = qat.quantize_model(tf_keras.Model(inputs, outputs))
    assert outputs_quantized(quantized) == ["conv", "bn_0", "bn_1"]


def test_a_convolution_that_is_read_twice_keeps_its_range():
    inputs = tf_keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3, name="conv")(inputs)
    model = tf_keras.Model(inputs, [normalization()(conv), relu()(conv)])
    assert outputs_quantized(qat.quantize_model(model)) == ["conv", "bn", "relu"]


def test_a_convolution_that_is_an_output_too_keeps_its_range():
    inputs = tf_keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3, name="conv")(inputs)
    model = tf_keras.Model(inputs, [relu()(conv), conv])
    assert outputs_quantized(qat.quantize_model(model)) == ["conv", "relu"]


@pytest.mark.parametrize(
    "function", [layers.LeakyReLU(name="last"), layers.ReLU(3.0, name="last")]
)
def test_a_function_that_no_engine_fuses_leaves_the_range_before_it(function):
    model = chain(layers.Conv2D(4, 3, name="conv"), function)
    assert outputs_quantized(qat.quantize_model(model)) == ["conv", "last"]


def test_a_users_config_is_not_changed_by_passes():
    config = qat.LayerQuantizeConfig(outputs=qat.quantizers.MovingAverageQuantizer(4))
    model = tf_keras.Sequential(
        [
            qat.quantize_annotate_layer(
                layers.Conv2D(4, 3, input_shape=(8, 8, 3), name="conv"), config
            ),
            qat.quantize_annotate_layer(normalization()),
            qat.quantize_annotate_layer(relu()),
        ]
    )
    quantized = qat.quantize_apply(model)
    assert quantized.get_layer("quant_conv").quantize_config is config
    assert outputs_quantized(quantized) == ["conv", "bn", "relu"]


def test_layers_that_are_not_annotated_stop_a_pass():
    model = tf_keras.Sequential(
        [
            qat.quantize_annotate_layer(
                layers.Conv2D(4, 3, input_shape=(8, 8, 3), name="conv")
            ),
            relu(),
        ]
    )
    quantized = qat.quantize_apply(model)
    assert outputs_quantized(quantized) == ["conv"]
    assert type(quantized.layers[-1]) is layers.ReLU


def test_each_operator_is_quantized_once_after_it():
    inputs = tf_keras.Input((8,))
    model = tf_keras.Model(inputs, tf.nn.relu(inputs * 2.0 + 1.0)[:, 1:])
    quantized = quantize_model(model, calibrate=np.ones((1, 8), "float32"))
    # The sum and its ReLU are one operation; a slice makes no new values.
    assert [layer.name for layer in quantized.layers[1:]] == [
        "quantize_layer",
        *("tf.math.multiply", "quantize_tf.math.multiply"),
        *("tf.__operators__.add", "tf.nn.relu", "quantize_tf.nn.relu"),
        "tf.__operators__.getitem",
    ]
    values = np.linspace(0, 1, 8, dtype="float32")[None]
    expected = np.maximum(2 * values + 1, 0)[:, 1:]
    np.testing.assert_allclose(quantized(values), expected, atol=3 * 3 / 255)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_a_separable_convolution_computes_the_same_in_two_parts(padding):
    model = chain(
        layers.SeparableConv1D(
            4, 3, padding=padding, depth_multiplier=2, activation="tanh", name="conv"
        ),
        shape=(9, 3),
    )
    x = np.random.default_rng(0).normal(size=(4, 9, 3)).astype("float32")
    quantized = quantize_model(model, scheme="int16", calibrate=x)
    np.testing.assert_allclose(quantized(x), model(x), atol=3e-4)
    sources = [tuple(w.shape) for w in model.trainable_weights]
    parts = [w.shape for w in quantized.trainable_weights]
    # (3, 3, 2) and (1, 6, 4), as (3, 3, 2) and (1, 6, 4), and a bias.
    assert [tuple(shape) for shape in parts] == sources


class Alone(qat.Default8BitQuantizeScheme):
    """Runs passes of the user's choice only."""

    def __init__(self, *runs):
        super().__init__()
        self.runs = runs

    def get_layout_transformer(self):
        return qat.QuantizeLayoutTransform(self.runs)


def separable(**kwargs):
    return chain(layers.SeparableConv2D(4, 3, name="conv", **kwargs), shape=(6, 6, 3))


def test_a_pass_that_needs_another_one_says_which_and_where_it_goes():
    model, x = separable(), np.random.default_rng(0).normal(size=(4, 6, 6, 3))
    with pytest.raises(UnsupportedLayerError) as raised:
        qat.quantize_model(model, scheme=Alone(passes.configs.run))
    assert '"conv" of class SeparableConv2D' in str(raised.value)
    assert "passes.separable.run stand before larqlite.qat.passes.configs.run" in str(
        raised.value
    )
    runs = passes.separable.run, passes.configs.run
    quantized = quantize_model(model, scheme=Alone(*runs), calibrate=x)
    names = [layer.name for layer in quantized.layers]
    assert names == ["image", "quant_conv_depthwise", "quant_conv"]
    expected = model(x).numpy()
    assert np.abs(quantized(x) - expected).max() < 0.02 * np.abs(expected).max()


def test_a_separable_convolution_that_a_scheme_has_a_config_for_stays_whole():
    class Separable(qat.Default8BitQuantizeScheme):
        def config_of(self, layer):
            if isinstance(layer, layers.SeparableConv2D):
                return qat.NoOpQuantizeConfig("as float")
            return super().config_of(layer)

    quantized = qat.quantize_model(separable(), scheme=Separable())
    assert [layer.name for layer in quantized.layers[2:]] == ["quant_conv"]
    assert quantized.layers[-1].quantize_config.reason == "as float"


def test_a_rule_for_separable_convolutions_holds_alone_and_over_time(monkeypatch):
    monkeypatch.setattr(_rules, "RULES", dict(_rules.RULES))
    over_time = chain(
        layers.TimeDistributed(layers.SeparableConv2D(4, 3), name="over"),
        shape=(2, 6, 6, 3),
    )
    with pytest.raises(UnsupportedLayerError, match=r"add_rule\(SeparableConv2D, "):
        qat.quantize_model(over_time)
    kernels = {"depthwise_kernel": False, "pointwise_kernel": True}
    qat.add_rule(layers.SeparableConv2D, qat.Rule(kernels, ("activation",)))
    for model in (separable(), over_time):
        x = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:]))
        quantized = quantize_model(model, calibrate=x)
        assert len(quantized.layers) == 3  # with the quantized input
        slots = quantized.layers[-1].weight_slots
        assert [slot[1].per_axis for slot in slots] == [False, True]
        expected = model(x).numpy()
        assert np.abs(quantized(x) - expected).max() < 0.03 * np.abs(expected).max()


# Binary layers read what has signs.


def before_a_binary_convolution(*before):
    """The quantized model that begins as given and ends in a binary convolution."""
    last = layers.Conv2D(2, 1, name="binary")
    model = chain(*before, last, shape=(6, 6, 3))
    quantized = qat.quantize_model(model, scheme={"binary": "binary", "*": "int8"})
    assert quantized.output_shape == model.output_shape
    return quantized


@pytest.mark.parametrize("name", ["Conv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_a_relu_in_the_layer_before_a_binary_one_is_left_out(name):
    quantized = before_a_binary_convolution(
        getattr(layers, name)(4, 3, activation="relu", name="conv")
    )
    functions = [
        name_of(activation)
        for layer in quantized.layers
        if (activation := getattr(getattr(layer, "layer", None), "activation", None))
    ]
    assert set(functions) == {"linear"}


KEEPING_SIGNS = (
    (),
    (layers.MaxPooling2D(name="pool"),),
    (layers.UpSampling2D(name="up"), layers.Cropping2D(1, name="crop")),
    (layers.Identity(name="same"), layers.GlobalMaxPooling2D(keepdims=True, name="g")),
)


@pytest.mark.parametrize("pool", KEEPING_SIGNS)
def test_a_relu_layer_before_a_binary_one_is_left_out(pool):
    quantized = before_a_binary_convolution(
        layers.Conv2D(4, 3, name="conv"), relu(), *pool
    )
    assert [layer.name for layer in quantized.layers[2:]] == [
        *("quant_conv", *(f"quant_{layer.name}" for layer in pool), "quant_binary")
    ]


def test_the_states_of_a_recurrent_layer_before_a_binary_one_are_not_changed(caplog):
    model = chain(
        layers.LSTM(4, activation="relu", name="lstm"),
        layers.Dense(2, name="binary"),
        shape=(5, 3),
    )
    quantized = qat.quantize_model(model, scheme={"binary": "binary", "*": "int8"})
    wrapper = quantized.get_layer("quant_lstm")
    assert wrapper.layer.activation is tf_keras.activations.relu
    assert '"binary" reads the output of "lstm", which is never negative' in caplog.text


def test_a_layer_that_is_used_elsewhere_too_keeps_its_relu(caplog):
    a, b = tf_keras.Input((6, 6, 3)), tf_keras.Input((6, 6, 3))
    conv = layers.Conv2D(4, 3, activation="relu", name="conv")
    outputs = [layers.Conv2D(2, 1, name="binary")(conv(a)), conv(b)]
    quantized = qat.quantize_model(
        tf_keras.Model([a, b], outputs), scheme={"binary": "binary", "*": "int8"}
    )
    # Its activation function is within the quantized one.
    function = quantized.get_layer("quant_conv").layer.activation.function
    assert function is tf_keras.activations.relu
    assert "its sign is always +1" in caplog.text


@pytest.mark.parametrize(("prefix", "expected"), [("q_", "q_inner"), (None, "inner")])
def test_binary_layers_have_the_prefix_that_was_asked_for(prefix, expected):
    dense = [tf_keras.layers.Dense(4, name=name) for name in ("first", "inner", "last")]
    model = tf_keras.Sequential([tf_keras.Input((4,)), *dense])
    binary = qat.quantize_apply(
        model, {"inner": "binary", "*": "int8"}, quantized_layer_name_prefix=prefix
    )
    assert [
        type(layer).__name__ for layer in binary.layers if layer.name == expected
    ] == ["QuantDense"]
