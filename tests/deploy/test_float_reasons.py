"""Every layer that computes in float is named with the reason, in the report and the profile."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite.deploy import FloatRow
from tests.deploy.keras_and_file import with_random_weights

K, Q, q = tf_keras.layers, lq.layers, lq.quantizers


class SignedSteps(q.Quantizer):
    """-1, -1/2, 0 and 1/2."""

    precision = 2

    def forward(self, x):
        return tf.clip_by_value(tf.round(2 * x) / 2, -1, 0.5)

    def derivative(self, x):
        return tf.ones_like(x)


@lq.deploy.activation_converter(SignedSteps)
def convert_signed_steps(graph, quantizer, value):
    two, low, high = (graph.constant(np.float32(x)) for x in (2, -1, 0.5))
    name = graph.node("Mul", [value.name, two])
    name = graph.node("Div", [graph.node("Round", [name]), two])
    name = graph.node("Clip", [name, low, high])
    return graph.value(name, value.shape, like=value)


def conv(activations, weights, **kwargs):
    """A convolution of binary kernels if nothing else is said."""
    return Q.QuantConv2D(
        8, 3, input_quantizer=activations, kernel_quantizer=weights, **kwargs
    )


def dorefa(bits):
    return q.DoReFa(bits, mode="weights")


def separable():
    return Q.QuantSeparableConv2D(
        8,
        3,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
    )


def depthwise(quantizer):
    return Q.QuantDepthwiseConv2D(
        3, input_quantizer=quantizer, depthwise_quantizer=quantizer
    )


# A layer behind others, and a part of the reason; None if it computes on bits.
CASES = {
    "binary": ([conv("ste_sign", "ste_sign")], None),
    "ternary": ([conv("ste_tern", "ste_tern")], None),
    "ternary_4_bits": ([conv("ste_tern", dorefa(4))], None),
    "one_bit_of_dorefa": ([conv(q.DoReFa(1), dorefa(1))], None),
    "8_bits_binary": ([conv(q.DoReFa(8), "ste_sign")], None),
    "heaviside": ([conv("ste_heaviside", "ste_sign")], None),
    "groups": ([conv("ste_sign", "ste_sign", groups=2)], None),
    "depthwise": ([depthwise("ste_sign")], None),
    "ternary_8_bits": ([conv("ste_tern", dorefa(8))], None),
    "4_bits_4_bits": ([conv(q.DoReFa(4), dorefa(4))], None),
    "8_bits_ternary": ([conv(q.DoReFa(8), "ste_tern")], None),
    "ternary_groups": ([conv("ste_tern", "ste_tern", groups=4)], None),
    "ternary_depthwise": ([depthwise("ste_tern")], None),
    "separable": ([separable()], "sums of another node"),
    "first": ([conv(None, "ste_sign")], "input is not quantized to few levels"),
    "behind_relu": ([K.ReLU(), conv(None, "ste_sign")], "not quantized to few levels"),
    "learned": ([conv(q.AdaBinActivations(), "ste_sign")], None),
    "learned_kernel": ([conv("ste_sign", q.AdaBinWeights())], None),
    "signed": ([conv(SignedSteps(), "ste_sign")], "comes from SignedSteps, whose"),
    "signed_before": (
        [K.Activation(SignedSteps()), K.MaxPooling2D(1), conv(None, "ste_sign")],
        "comes from SignedSteps, whose converter",
    ),
    "pads": (
        [conv("ste_sign", "ste_sign", padding="same", pad_values=0.5)],
        "pad_values=0.5 is no level of its input",
    ),
    "float_kernel": ([conv("ste_sign", None)], "its weights are float32"),
    "keras_layer": ([K.Conv2D(4, 3)], "its weights are float32"),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One network with all cases side by side: its report and its file, loaded."""
    inputs = tf_keras.Input((6, 6, 8))
    outputs = []
    for name, (layers, _) in CASES.items():
        x = inputs
        for layer in layers[:-1]:
            x = layer(x)
        last = layers[-1]
        x = type(last).from_config(last.get_config() | {"name": name})(x)
        outputs.append(K.Activation("linear", name=f"{name}_out")(x))
    path = tmp_path_factory.mktemp("float") / "net.onnx"
    model = with_random_weights(tf_keras.Model(inputs, outputs))
    report = lq.deploy.export(model, path, verify=False)
    return report, larqlite_runtime.load(path), path


def test_the_report_names_each_layer_in_float_with_the_reason(exported):
    report, _, _ = exported
    expected = {name for name, (_, why) in CASES.items() if why is not None}
    assert {row.layer for row in report.in_float} == expected
    assert set(report.float_layers) == expected
    assert len(report.in_float) == len(expected)
    for row in report.in_float:
        assert isinstance(row, FloatRow)
        layers, why = CASES[row.layer]
        assert row.class_name == type(layers[-1]).__name__
        assert re.search(why, row.why), row
    text = str(report)
    for row in report.in_float:
        (line,) = [line for line in text.splitlines() if line.endswith(row.why)]
        assert row.layer in line


def test_what_is_not_named_runs_on_bits(exported):
    """The paths of a measured call are the proof."""
    report, runtime, path = exported
    profile = runtime.profile(np.zeros((1, 6, 6, 8), np.float32), repeat=1)
    segments = [step.layer for step in profile.steps if step.path == "onnxruntime"]
    in_segments = {name for names in segments for name in names.split(", ")}
    named = set(report.float_layers)
    for row in report.packed:
        if row.operation != "float":
            assert (row.layer in in_segments) == (row.layer in named), row.layer
    assert profile.float_layers == runtime.float_layers
    assert larqlite_runtime.float_layers(path) == runtime.float_layers
    assert set(runtime.float_layers) == named
    lines = [line for line in str(profile).splitlines() if line.startswith("in float:")]
    for layer, why in runtime.float_layers.items():
        (line,) = [line for line in lines if why in line]
        assert layer in line
    assert profile.to_dict()["float_layers"] == runtime.float_layers


def test_a_file_that_the_runtime_does_not_know_is_said_so(tmp_path):
    class Elsewhere(K.Layer):
        def call(self, inputs):
            return inputs

    @lq.deploy.converter(Elsewhere)
    def convert(graph, layer, value):
        name = graph.node("Odd", [value.name], domain="elsewhere")
        return graph.value(name, value.shape, like=value)

    model = tf_keras.Sequential([tf_keras.Input((4,)), Elsewhere()])
    report = lq.deploy.export(model, tmp_path / "net.onnx", verify=False)
    (note,) = report.notes
    assert note.startswith("larqlite_runtime cannot run the file: ")
    assert "elsewhere" in note
