"""Every use case of TFMOT's comprehensive guide, with larqlite's names; see its summaries."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from tests.common.eager import eagerly
from tests.common.samples import sampled

SUMMARIES = Path(__file__).resolve().parent.parent / "golden/qat_guide_summaries.txt"

quantize_annotate_layer = qat.quantize_annotate_layer
quantize_annotate_model = qat.quantize_annotate_model
quantize_scope = qat.quantize_scope
LastValueQuantizer = qat.quantizers.LastValueQuantizer
MovingAverageQuantizer = qat.quantizers.MovingAverageQuantizer


def rows(summary: str) -> list[str]:
    """The rows of a printed summary: names without numbers, each in one line."""
    found = []
    for line in summary.splitlines():
        match = re.match(r" (\S+ \(\S+)\s+(\[?\(.*\)\]?)\s+(\d+)$", line.rstrip())
        if match:
            found.append(list(match.groups()))
        elif re.match(r" (\S+\)?)$", line.rstrip()) and found:
            found[-1][0] += line.strip()
        elif line.startswith(("Total", "Trainable", "Non-trainable")):
            found.append([line.rstrip().replace("Bytes", "Byte")])
    return [" | ".join([re.sub(r"_\d+(?= )", "", r[0]), *r[1:]]) for r in found]


def printed_by_the_guide() -> list[list[str]]:
    text = SUMMARIES.read_text()
    return [rows(part) for part in text.split('Model: "')[1:]]


GUIDE = printed_by_the_guide()


def printed(model) -> list[str]:
    lines = []
    model.summary(print_fn=lines.append, line_length=65)
    return rows("\n".join(lines))


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    return Setup(str(tmp_path_factory.mktemp("guide") / "pretrained.tf"))


class Setup:
    """The guide's first block."""

    def __init__(self, pretrained_weights):
        x_train = np.random.default_rng(0).normal(size=(1, 20)).astype("float32")
        y_train = tf_keras.utils.to_categorical([3], num_classes=20)
        model = self.setup_model()
        model.compile(
            loss=tf_keras.losses.categorical_crossentropy,
            optimizer="adam",
            metrics=["accuracy"],
        )
        model.fit(x_train, y_train, verbose=0)
        model.save_weights(pretrained_weights)
        self.x, self.y = x_train, y_train
        self.pretrained_weights = pretrained_weights

    def setup_model(self):
        return tf_keras.Sequential(
            [tf_keras.layers.Dense(20, input_shape=[20]), tf_keras.layers.Flatten()]
        )

    def setup_pretrained_model(self):
        model = self.setup_model()
        model.load_weights(self.pretrained_weights).expect_partial()
        return model


def test_the_guide_prints_nine_summaries_with_the_known_totals():
    totals = [[re.search(r"\d+", line)[0] for line in rows[-3:]] for rows in GUIDE]
    whole, dense, small = ["429", "420", "9"], ["428", "420", "8"], ["218", "210", "8"]
    without = ["427", "420", "7"]
    assert totals == [
        *(whole, dense, small, dense, whole),
        *(whole, whole, without, without),
    ]


def test_quantize_the_whole_model(setup):
    base_model = setup.setup_pretrained_model()
    quant_aware_model = qat.quantize_model(base_model)
    assert printed(quant_aware_model) == GUIDE[0]
    for before, after in zip(
        base_model.weights, quant_aware_model.trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_quantize_some_layers(setup):
    base_model = setup.setup_pretrained_model()

    def apply_quantization_to_dense(layer):
        if isinstance(layer, tf_keras.layers.Dense):
            return quantize_annotate_layer(layer)
        return layer

    annotated_model = tf_keras.models.clone_model(
        base_model, clone_function=apply_quantization_to_dense
    )
    quant_aware_model = qat.quantize_apply(annotated_model)
    assert printed(quant_aware_model) == GUIDE[1]
    assert re.fullmatch(r"dense(_\d+)?", base_model.layers[0].name)
    kernel = quant_aware_model.layers[1].layer.kernel
    np.testing.assert_array_equal(kernel, base_model.layers[0].kernel)


def test_the_more_readable_functional_way():
    i = tf_keras.Input(shape=(20,))
    x = quantize_annotate_layer(tf_keras.layers.Dense(10))(i)
    o = tf_keras.layers.Flatten()(x)
    annotated_model = tf_keras.Model(inputs=i, outputs=o)
    assert printed(qat.quantize_apply(annotated_model)) == GUIDE[2]


def test_the_more_readable_sequential_way():
    annotated_model = tf_keras.Sequential(
        [
            quantize_annotate_layer(tf_keras.layers.Dense(20, input_shape=[20])),
            tf_keras.layers.Flatten(),
        ]
    )
    assert printed(qat.quantize_apply(annotated_model)) == GUIDE[3]


def test_checkpoint_and_deserialize(setup, tmp_path):
    quant_aware_model = qat.quantize_model(setup.setup_pretrained_model())
    keras_model_file = str(tmp_path / "model.h5")
    quant_aware_model.save(keras_model_file)
    with quantize_scope():
        loaded_model = tf_keras.models.load_model(keras_model_file)
    assert printed(loaded_model) == GUIDE[4]
    np.testing.assert_array_equal(loaded_model(setup.x), quant_aware_model(setup.x))
    # Nor is the scope needed for larqlite's own classes.
    again = tf_keras.models.load_model(keras_model_file)
    np.testing.assert_array_equal(again(setup.x), quant_aware_model(setup.x))


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_create_and_deploy_a_quantized_model(setup):
    base_model = setup.setup_pretrained_model()
    quant_aware_model = qat.quantize_model(base_model)
    x = np.random.default_rng(1).normal(size=(32, 20)).astype("float32")
    qat.calibrate(quant_aware_model, x)

    converter = tf.lite.TFLiteConverter.from_keras_model(quant_aware_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    quantized_tflite_model = converter.convert()

    interpreter = tf.lite.Interpreter(model_content=quantized_tflite_model)
    interpreter.allocate_tensors()
    types = [detail["dtype"] for detail in interpreter.get_tensor_details()]
    assert types.count(np.float32) == 2  # input and output
    outputs = []
    for row in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row[None])
        interpreter.invoke()
        outputs.append(
            interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        )
    expected = quant_aware_model(x).numpy()
    step = np.ptp(expected) / 255
    assert np.abs(np.float32(outputs) - expected).max() < 1.6 * step


class DefaultDenseQuantizeConfig(qat.QuantizeConfig):
    """The guide's, method by method."""

    def get_weights_and_quantizers(self, layer):
        return [
            (
                layer.kernel,
                LastValueQuantizer(
                    num_bits=8, symmetric=True, narrow_range=False, per_axis=False
                ),
            )
        ]

    def get_activations_and_quantizers(self, layer):
        return [
            (
                layer.activation,
                MovingAverageQuantizer(
                    num_bits=8, symmetric=False, narrow_range=False, per_axis=False
                ),
            )
        ]

    def set_quantize_weights(self, layer, quantize_weights):
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations):
        layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {}


class CustomLayer(tf_keras.layers.Dense):
    pass


class FourBitConfig(DefaultDenseQuantizeConfig):
    def get_weights_and_quantizers(self, layer):
        quantizer = LastValueQuantizer(
            num_bits=4, symmetric=True, narrow_range=False, per_axis=False
        )
        return [(layer.kernel, quantizer)]


class NoActivationConfig(DefaultDenseQuantizeConfig):
    def get_activations_and_quantizers(self, layer):
        return []

    def set_quantize_activations(self, layer, quantize_activations):
        return


class FixedRangeQuantizer(qat.quantizers.Quantizer):
    """Quantizer which forces outputs to be between -1 and 1."""

    def build(self, tensor_shape, name, layer):
        return {}

    def __call__(self, inputs, training, weights, **kwargs):
        return tf_keras.backend.clip(inputs, -1.0, 1.0)

    def get_config(self):
        return {}


class FixedRangeConfig(DefaultDenseQuantizeConfig):
    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, FixedRangeQuantizer())]


def nearest_levels(kernel, bits):
    """What fake quantization to 2**bits levels around zero gives, as in the paper."""
    largest = max(kernel.max(), -kernel.min() * (2**bits / 2 - 1) / (2**bits / 2))
    step = np.float32(largest / (2**bits / 2 - 1))
    return np.clip(np.round(kernel / step), -(2**bits) / 2, 2**bits / 2 - 1) * step


EXPERIMENTS = {
    "a custom layer": (CustomLayer, DefaultDenseQuantizeConfig, 5, 8),
    "4 bits": (tf_keras.layers.Dense, FourBitConfig, 6, 4),
    "no activation": (tf_keras.layers.Dense, NoActivationConfig, 7, 8),
    "a custom algorithm": (tf_keras.layers.Dense, FixedRangeConfig, 8, None),
}


@pytest.mark.parametrize("scoped", sampled([True, False], 2))
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_with_quantization(name, scoped, setup, tmp_path):
    layer_class, config_class, index, bits = EXPERIMENTS[name]
    model = quantize_annotate_model(
        tf_keras.Sequential(
            [
                quantize_annotate_layer(
                    layer_class(20, input_shape=(20,)), config_class()
                ),
                tf_keras.layers.Flatten(),
            ]
        )
    )
    own = {c.__name__: c for c in (layer_class, config_class, FixedRangeQuantizer)}
    if scoped:
        with quantize_scope(own):
            quant_aware_model = qat.quantize_apply(model)
    else:
        quant_aware_model = qat.quantize_apply(model)
    assert printed(quant_aware_model) == GUIDE[index]

    # One of them in graphs, whose tracing takes longer than all that is computed here.
    in_graphs = name == "4 bits"
    quant_aware_model.compile("sgd", "mse", run_eagerly=not in_graphs)
    quant_aware_model.fit(setup.x, setup.y, verbose=0)
    kernel, bias = (w.numpy() for w in quant_aware_model.layers[1].layer.weights[:2])
    kernel *= 3
    quant_aware_model.layers[1].layer.set_weights([kernel, bias])
    with contextlib.nullcontext() if in_graphs else eagerly():
        qat.calibrate(quant_aware_model, setup.x)
    expected = np.clip(kernel, -1, 1) if bits is None else nearest_levels(kernel, bits)
    # One row is the whole range of its input: at most half a step away from it.
    step = np.ptp(np.append(setup.x, 0)) / 255
    result = quant_aware_model.predict_on_batch(setup.x)
    exact = setup.x @ expected + bias
    bound = step / 2 * np.abs(expected).sum(0) + np.ptp(np.append(exact, 0)) / 255
    assert np.all(np.abs(result - exact) <= bound)
    distinct = len(np.unique(expected))
    assert distinct == 400 - (np.abs(kernel) > 1).sum() + 2 if bits is None else True
    assert bits is None or distinct <= 2**bits

    path = tmp_path / "model.h5"
    quant_aware_model.save(path)
    with quantize_scope(own):
        loaded = tf_keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(setup.x), result)
