"""ONNX QDQ and TFLite exports against the integer model, in the engines that run them."""

import numpy as np
import onnx
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnsupportedLayerError
from larqlite.integer.export import compare, to_onnx, to_qdq, to_tflite
from larqlite.qat.tflite.internal import read_file
from tests.common.eager import quantize
from tests.common.samples import sampled
from tests.integer import networks

layers = tf_keras.layers
IMAGES = networks.images()[1][0][:64]


def quantized(model, **bits):
    params = lq.integer.models.QuantizationParams(**bits)
    return quantize(model, qparams=params, samples=IMAGES, batch_size=64)


@pytest.fixture(scope="module")
def tflite_file(integer_cnn):
    """What TFLite runs of the network of 8 bits."""
    return to_tflite(integer_cnn(per_tensor_activations=True), samples=IMAGES)


@pytest.fixture(scope="module")
def residual():
    tf_keras.utils.set_random_seed(4)
    inputs = layers.Input((28, 28, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, padding="same")(x))
    y = layers.ReLU(6)(layers.DepthwiseConv2D(3, padding="same")(x))
    y = layers.Conv2D(8, 1)(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    logits = layers.Dense(10)(x)
    model = networks.compiled(tf_keras.Model(inputs, logits), 8e-3)
    images, labels = networks.images()[0]
    model.fit(images[:3072], labels[:3072], 64, 1, verbose=0)
    return tf_keras.Model(inputs, layers.Softmax()(logits))


@pytest.mark.parametrize(
    "bits",
    [
        {},
        {"weight_bits": 1},
        pytest.param({"weight_bits": 4, "activation_bits": 4}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_qdq_of_a_network_differs_by_ties_only(integer_cnn, bits):
    model = integer_cnn(**bits)
    proto = to_qdq(model)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} == {""}
    result = compare(model, proto, IMAGES)
    assert result.form == "qdq"
    assert result.label_agreement == 1
    assert result.equal_share > 0.8


def test_qdq_of_per_tensor_activations_differs_by_ties_only(integer_cnn):
    model = integer_cnn(per_tensor_activations=True)
    result = compare(model, to_qdq(model), IMAGES)
    assert result.equal_share > 0.9
    assert result.label_agreement == 1


def test_scales_in_the_file_are_those_of_the_integer_model(integer_cnn):
    model = integer_cnn(per_tensor_activations=True)
    proto = to_qdq(model)
    held = {i.name: onnx.numpy_helper.to_array(i) for i in proto.graph.initializer}
    steps = [n for n in proto.graph.node if n.op_type == "QuantizeLinear"]
    found = [float(held[node.input[1]]) for node in steps[1:]]
    quantizers = [
        layer.out_quantizer for layer in model.layers if "re_lu" in layer.name
    ]
    ranges = [float(quantizer.range_max) for quantizer in quantizers]
    assert found == [2.0 ** (np.ceil(np.log2(r)) - 7) for r in ranges]
    kernel = model.get_layer("conv2d_1").weight_quantizer(
        model.get_layer("conv2d_1").kernel
    )
    codes = kernel.fp.values.numpy().transpose(3, 2, 0, 1)
    assert any(
        array.dtype == np.int8 and np.array_equal(array, codes)
        for array in held.values()
    )


@pytest.mark.parametrize("bits", sampled([{}, {"weight_bits": 4}], 2), ids=str)
def test_tflite_of_a_network_is_a_step_off_at_most(integer_cnn, tflite_file, bits):
    model = integer_cnn(per_tensor_activations=True, **bits)
    content = to_tflite(model, samples=IMAGES) if bits else tflite_file
    assert not read_file(content, "").float_operations()
    result = compare(model, content, IMAGES)
    assert (result.form, result.samples) == ("tflite", 64)
    assert result.largest_units <= 1.51
    assert result.equal_share > 0.98
    assert result.label_agreement > 0.95


def test_kernels_in_the_tflite_file_are_the_integers_of_the_model(
    integer_cnn, tflite_file
):
    from ai_edge_litert.interpreter import Interpreter

    model = integer_cnn(per_tensor_activations=True)
    interpreter = Interpreter(model_content=tflite_file)
    interpreter.allocate_tensors()
    layer = model.get_layer("conv2d_1")
    codes = layer.weight_quantizer(layer.kernel).fp.values.numpy()
    held = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if tuple(detail["shape"]) == (32, 3, 3, 16)
    ]
    assert len(held) == 1
    assert np.array_equal(held[0], codes.transpose(3, 0, 1, 2))


@pytest.mark.parametrize("per_tensor", sampled([True, False], 2))
def test_a_residual_depthwise_network_with_pooling_and_softmax(residual, per_tensor):
    model = quantized(residual, per_tensor_activations=per_tensor)
    result = compare(model, to_qdq(model), IMAGES)
    assert result.largest_difference < 0.02
    assert result.label_agreement == 1
    if per_tensor:
        result = compare(model, to_tflite(model, samples=IMAGES), IMAGES)
        assert result.largest_difference < 0.05
        assert result.label_agreement > 0.9


def test_what_8_bits_do_not_hold_is_refused_by_name(cnn, integer_cnn, tmp_path):
    model = quantized(cnn)
    layer = model.get_layer("re_lu")
    ranges = layer.out_quantizer.range_max.numpy()
    layer.out_quantizer.calibrate(ranges * np.exp2(np.arange(16) % 3))
    with pytest.raises(UnsupportedLayerError, match=r'"conv2d_\d".*(\n.*)*per_tensor'):
        to_tflite(model, tmp_path / "model.tflite", samples=IMAGES)
    assert not list(tmp_path.iterdir())
    model = integer_cnn(per_tensor_activations=True)
    with pytest.raises(ArgumentError, match=r"dense.*\n.*samples=samples"):
        to_tflite(model)


def branched():
    inputs = layers.Input((12, 12, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same")(x))
    y = layers.UpSampling2D(2)(layers.AveragePooling2D(2)(x))
    z = layers.ReLU(6)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Concatenate()([y, z])
    x = layers.ReLU()(layers.Conv2D(6, 3, strides=2, padding="same")(x))
    x = layers.Reshape((36, 6))(layers.Permute((2, 1, 3))(x))
    x = layers.ReLU()(layers.Conv1D(5, 3, padding="causal")(x))
    return tf_keras.Model(inputs, layers.Dense(4)(x))


@pytest.mark.parametrize(
    "per_tensor", [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_branches_one_dimension_and_moves_are_written(per_tensor):
    images = networks.random_images(16, (12, 12, 3))
    params = lq.integer.models.QuantizationParams(per_tensor_activations=per_tensor)
    model = quantize(branched(), qparams=params, samples=images)
    assert compare(model, to_onnx(model), images).is_exact
    result = compare(model, to_qdq(model), images)
    assert result.label_agreement > 0.98
    assert result.equal_share > 0.98


def activated():
    inputs = layers.Input((12, 12, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(8, 3, padding="same", activation="hard_swish")(x)
    x = layers.Conv2D(6, 3, strides=2, activation="elu")(x)
    x = layers.DepthwiseConv2D(3, activation="swish")(x)
    x = layers.LeakyReLU()(layers.Conv2D(5, 1)(x))
    return tf_keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


@pytest.mark.parametrize("per_tensor", sampled([True, False], 2))
def test_activations_are_written_as_functions_of_floats(per_tensor):
    tf_keras.utils.set_random_seed(2)
    images = networks.random_images(16, (12, 12, 3))
    params = lq.integer.models.QuantizationParams(per_tensor_activations=per_tensor)
    model = quantize(activated(), qparams=params, samples=images)
    assert compare(model, to_onnx(model), images).is_exact
    wanted = model(images).numpy()
    result = compare(model, to_qdq(model), images)
    assert result.largest_difference < 0.02 * np.ptp(wanted)
    if per_tensor:
        content = to_tflite(model, samples=images)
        # The converter makes no integers of an ELU.
        found = read_file(content, "").float_operations()
        assert [operation.name for operation in found] == ["ELU"]
        result = compare(model, content, images)
        assert result.largest_difference < 0.03 * np.ptp(wanted)


def test_a_saturated_head_is_no_other_network():
    """The sigmoid of the model is 1e-11, that of ONNX Runtime 0."""
    tf_keras.utils.set_random_seed(1)
    head = layers.Dense(1, activation="sigmoid")
    inputs = tf_keras.Input((16,))
    model = tf_keras.Model(inputs, head(layers.Dense(8, activation="relu")(inputs)))
    head.set_weights([1e-3 * head.kernel.numpy(), np.full(1, -25, np.float32)])
    x = np.random.default_rng(0).integers(-128, 128, (64, 16)).astype(np.float32)
    integers = quantize(model, samples=x)
    assert compare(integers, to_qdq(integers), x).largest_difference < 1e-6
