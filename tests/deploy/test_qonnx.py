"""A QONNX file computes what Keras does: layers and quantizers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tf_keras

import larqlite as lq

if sys.version_info < (3, 11):
    pytest.skip("qonnx asks for an older onnx there", allow_module_level=True)

from tests.deploy.qonnx_files import assert_same, executed, nodes, randomized

layers = tf_keras.layers
PAIRS = [
    ("ste_sign", "ste_sign"),
    ("approx_sign", "magnitude_aware_sign"),
    ("ste_sign", "ste_tern"),
    ("ste_tern", "ste_sign"),
    ("ste_tern", "ste_tern"),
    ("ste_heaviside", "ste_sign"),
    ("ste_sign", "ste_heaviside"),
    ("dorefa", "ste_sign"),
    ("rsign", "approx_sign"),
    ("adabin_activations", "adabin_weights"),
    (None, "ste_sign"),
]


def dorefa(k_bit: int, mode: str) -> lq.quantizers.DoReFa:
    return lq.quantizers.DoReFa(k_bit=k_bit, mode=mode)


def convolution(input_quantizer, kernel_quantizer, shape=(7, 6, 5), **options):
    """Something float, a quantized convolution, and a normalization."""
    options = {"padding": "same", "use_bias": False, **options}
    inputs = layers.Input(shape)
    x = layers.BatchNormalization()(inputs)
    x = lq.layers.QuantConv2D(
        *(8, 3),
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        **options,
    )(x)
    return randomized(tf_keras.Model(inputs, layers.BatchNormalization()(x)))


def width_of(file, node) -> tuple[int, bool, bool]:
    """Bits, signed, narrow; and a scale of 1 with zero point 0, which all have."""
    numbers = [float(file.get_initializer(name)) for name in node.input[1:]]
    flags = {a.name: a.i for a in node.attribute}
    assert numbers[:2] == [1, 0]
    return int(numbers[2]), bool(flags["signed"]), bool(flags["narrow"])


@pytest.mark.parametrize(("input_quantizer", "kernel_quantizer"), PAIRS)
def test_a_convolution_computes_what_keras_does(
    input_quantizer, kernel_quantizer, tmp_path
):
    assert_same(convolution(input_quantizer, kernel_quantizer), tmp_path / "m.onnx")


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_dorefa_activations_are_an_unsigned_int_quant(bits, tmp_path):
    model = convolution(dorefa(bits, "activations"), "ste_sign")
    file = assert_same(model, tmp_path / "m.onnx")
    (quantizer,) = nodes(file, "Quant")
    assert width_of(file, quantizer) == (bits, False, False)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_dorefa_weights_are_odd_integers_of_one_more_bit(bits, tmp_path):
    model = convolution(dorefa(4, "activations"), dorefa(bits, "weights"))
    file = assert_same(model, tmp_path / "m.onnx", tolerance=2e-6)
    widths = [width_of(file, node) for node in nodes(file, "Quant")]
    # 2^k levels that are symmetric around 0 need k + 1 bits where 0 is a code.
    expected = [] if bits == 1 else [(bits + 1, True, True)]
    assert widths == [(4, False, False), *expected] or widths == [
        *expected,
        (4, False, False),
    ]
    assert len(nodes(file, "BipolarQuant")) == (bits == 1)


def test_ternary_weights_and_inputs_are_narrow_int_quants_of_two_bits(tmp_path):
    file = assert_same(convolution("ste_tern", "ste_tern"), tmp_path / "m.onnx")
    widths = [width_of(file, node) for node in nodes(file, "Quant")]
    assert widths == [(2, True, True), (2, True, True)]


def test_binary_weights_and_inputs_are_bipolar_quants_of_scale_one(tmp_path):
    model = convolution("ste_sign", "magnitude_aware_sign")
    file = assert_same(model, tmp_path / "m.onnx")
    for node in nodes(file, "BipolarQuant"):
        assert float(file.get_initializer(node.input[1])) == 1
    kernels = [
        file.get_initializer(node.input[0]) for node in nodes(file, "BipolarQuant")
    ]
    (kernel,) = (kernel for kernel in kernels if kernel is not None)
    assert kernel.shape == (8, 5, 3, 3)
    assert kernel.dtype == np.float32
    signs = np.where(model.layers[2].kernel.numpy() < 0, -1, 1)
    np.testing.assert_array_equal(kernel, signs.transpose(3, 2, 0, 1))


def test_qonnx_itself_sees_the_data_types(tmp_path):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_datatypes import InferDataTypes

    for number, (quantizer, kernel, expected) in enumerate(
        (
            ("ste_sign", "ste_sign", ("BIPOLAR", "BIPOLAR")),
            ("ste_tern", "ste_tern", ("INT2", "INT2")),
            (dorefa(3, "activations"), "ste_sign", ("UINT3", "BIPOLAR")),
            ("ste_heaviside", "ste_heaviside", ("BINARY", "BINARY")),
        )
    ):
        path = tmp_path / f"{number}.onnx"
        lq.deploy.to_qonnx(convolution(quantizer, kernel), path)
        file = ModelWrapper(str(path)).transform(InferDataTypes())
        (node,) = nodes(file, "Conv")
        assert tuple(file.get_tensor_datatype(n).name for n in node.input) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2},
        {"padding": "valid"},
        {"dilation_rate": 2},
        {"pad_values": 1.0},
        {"pad_values": -1.0, "strides": 2},
        {"use_bias": True, "activation": "relu"},
        {"groups": 5, "filters_of": 10},
    ],
    ids=str,
)
@pytest.mark.parametrize("quantizer", ["ste_sign", "dorefa"])
def test_geometry_is_that_of_keras(quantizer, options, tmp_path):
    options = dict(options)
    if options.pop("filters_of", None):
        options["groups"], shape = 2, (7, 6, 4)
    else:
        shape = (7, 6, 5)
    if quantizer == "dorefa" and options.get("pad_values") == -1.0:
        options["pad_values"] = 0.0
    model = convolution(quantizer, "ste_sign", shape, **options)
    file = assert_same(model, tmp_path / "m.onnx")
    # Zeros are added by the convolution itself, which tools understand best.
    assert len(nodes(file, "Pad")) == bool(options.get("pad_values"))


@pytest.mark.parametrize(
    "layer",
    [
        lambda **q: lq.layers.QuantConv1D(
            4, 3, padding="same", kernel_quantizer="ste_sign", **q
        ),
        lambda **q: lq.layers.QuantDense(4, kernel_quantizer="ste_tern", **q),
    ],
    ids=["conv_1d", "dense"],
)
def test_layers_of_three_axes_compute_what_keras_does(layer, tmp_path):
    inputs = layers.Input((6, 5))
    x = layer(input_quantizer="ste_sign")(inputs)
    model = randomized(tf_keras.Model(inputs, layers.BatchNormalization()(x)))
    assert_same(model, tmp_path / "m.onnx")


IMAGE_LAYERS = {
    "depthwise": lambda: lq.layers.QuantDepthwiseConv2D(
        3, padding="same", depthwise_quantizer="ste_sign", input_quantizer="ste_sign"
    ),
    "separable": lambda: lq.layers.QuantSeparableConv2D(
        *(6, 3),
        depthwise_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
        input_quantizer="dorefa",
    ),
    "transposed": lambda: lq.layers.QuantConv2DTranspose(
        *(6, 3),
        strides=2,
        padding="same",
        kernel_quantizer="ste_tern",
        input_quantizer="ste_sign",
    ),
    "channels_first": lambda: layers.Permute((3, 1, 2)),
}


@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_layers_of_images_compute_what_keras_does(name, tmp_path):
    inputs = layers.Input((6, 5, 4))
    x = IMAGE_LAYERS[name]()(inputs)
    model = randomized(tf_keras.Model(inputs, layers.BatchNormalization()(x)))
    assert_same(model, tmp_path / "m.onnx")


@pytest.mark.parametrize(("input_quantizer", "kernel_quantizer"), PAIRS)
def test_a_file_has_what_its_readers_ask_for(
    input_quantizer, kernel_quantizer, tmp_path
):
    """What FINN and hls4ml stumbled over: widths that cleaning loses, missing pads,
    rounding up, nodes that nobody reads, kernels with more than a quantizer in front."""
    model = convolution(input_quantizer, kernel_quantizer, pad_values=0.0)
    made = lq.deploy.to_qonnx(model, tmp_path / "m.onnx")
    read = {name for node in made.graph.node for name in node.input}
    read |= {output.name for output in made.graph.output}
    assert {tensor.name for tensor in made.graph.initializer} <= read
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in made.graph.node:
        assert node.op_type not in ("IntQuant", "Neg")
        assert set(node.output) <= read
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Conv":
            names = {"pads", "strides", "dilations", "group", "kernel_shape"}
            assert names <= set(attributes)
            (kernel,) = (n for n in made.graph.node if node.input[1] in n.output)
            assert kernel.op_type in ("Quant", "BipolarQuant")
            assert kernel.input[0] in constants
        if node.op_type == "Quant":
            assert attributes["rounding_mode"].s == b"ROUND"
        if node.op_type in ("Mul", "Add"):
            sizes = [list(constants[n].dims) for n in node.input if n in constants]
            assert all(len(dims) in (0, 4) for dims in sizes)


@pytest.mark.parametrize(
    "quantizer", ["ste_sign", "ste_heaviside", "ste_tern", "dorefa"]
)
def test_quantizers_are_exact_where_they_jump(quantizer, tmp_path):
    """At thresholds, beside them, at both zeros and at the ties of rounding."""
    fn = lq.quantizers.get(quantizer)
    edges = np.array([0.0, -0.0, 0.05, -0.05, 0.5, 1.0, -1.0, 1e-45, -1e-45], "float32")
    edges = np.concatenate([edges, (np.arange(8, dtype="float32") + 0.5) / 3])
    around = [np.nextafter(edges, np.float32(end)) for end in (-np.inf, np.inf)]
    huge = np.array([3e38, -3e38], "float32")
    points = np.concatenate([edges, *around, huge])[None]
    inputs = layers.Input((points.size,))
    model = tf_keras.Model(inputs, layers.Activation(fn)(inputs))
    # TensorFlow takes numbers below 1e-38 for 0, where other runtimes do not.
    expected = model(points, training=False).numpy()
    ordinary = np.abs(points) > 1e-38
    ordinary |= points == 0
    file, tensors = executed(model, tmp_path / "m.onnx", points)
    found = tensors[file.graph.output[0].name]
    np.testing.assert_array_equal(found[ordinary], expected[ordinary])
