"""The integers of an ONNX export against those of the Keras model, in ONNX Runtime."""

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
import tf_keras

import larqlite as lq
from larqlite.integer.export import compare, to_onnx
from tests.common.eager import quantize
from tests.common.samples import in_turn
from tests.deploy.inside_a_file import folded_as_some_runtimes_do
from tests.integer import networks

layers = tf_keras.layers
models = lq.integer.models
IMAGES = networks.images()[1][0][:48]


def run(proto, x):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def quantized(model, samples=IMAGES, **bits):
    params = models.QuantizationParams(**bits)
    return quantize(model, qparams=params, samples=samples, batch_size=48)


def scrambled(model, seed=0):
    """The model with statistics and offsets that are not those of a fresh one."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                if "variance" in weight.name or "gamma" in weight.name:
                    weight.assign(rng.uniform(0.3, 2, weight.shape))
                else:
                    weight.assign(rng.normal(0, 0.5, weight.shape))
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(0, 0.2, layer.bias.shape))
    return model


@pytest.mark.parametrize(
    "bits",
    [
        {},
        pytest.param({"weight_bits": 4, "activation_bits": 4}, marks=pytest.mark.slow),
        {"weight_bits": 1},
        {"weight_bits": 2, "per_tensor_activations": True},
    ],
    ids=str,
)
def test_a_trained_network_gives_the_same_bits(integer_cnn, bits):
    model = integer_cnn(**bits)
    proto = to_onnx(model, input_dtype="uint8")
    onnx.checker.check_model(proto, full_check=True)
    assert np.array_equal(run(proto, IMAGES), np.asarray(model(IMAGES)))
    result = compare(model, proto, IMAGES)
    assert result.is_exact
    assert len(result.layers) > 10
    assert (result.largest_units, result.equal_share) == (0, 1)


def test_activations_are_8_bits_and_accumulators_32(integer_cnn):
    model = integer_cnn()
    kinds = {i.name: i.type.tensor_type.elem_type for i in _infos(to_onnx(model))}
    found = {onnx.TensorProto.DataType.Name(kind) for kind in kinds.values()}
    assert {"INT32"} < found <= {"INT8", "UINT8", "INT32", "FLOAT"}


def _infos(proto):
    return [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]


NETWORKS = {
    "separable": lambda: networks.float_cnn(separable=True),
    "binary": networks.binary_cnn,
    "transformer": networks.vision_transformer,
}


@pytest.mark.parametrize(
    "name",
    ["separable", "binary", pytest.param("transformer", marks=pytest.mark.slow)],
)
def test_a_network_of_other_layers_gives_the_same_bits(name):
    model = quantized(scrambled(NETWORKS[name]()))
    result = compare(model, to_onnx(model), IMAGES)
    assert result.is_exact, str(result)
    assert result.equal_share == 1


def test_float_layers_behind_the_integers_are_written_too(cnn):
    outputs = layers.Softmax(name="last")(cnn.output)
    model = quantized(tf_keras.Model(cnn.input, outputs))
    proto = to_onnx(model, input_dtype="uint8")
    assert compare(model, proto, IMAGES).is_exact
    assert np.allclose(run(proto, IMAGES), model(IMAGES), atol=1e-6)


def test_every_type_of_input_gives_the_same_bits(integer_cnn):
    model = integer_cnn()
    wanted = np.asarray(model(IMAGES))
    for dtype in ("uint8", "int32", "float32"):
        proto = to_onnx(model, input_dtype=dtype)
        assert np.array_equal(run(proto, IMAGES.astype(dtype)), wanted)
    signed = (IMAGES.astype(int) - 128).astype(np.int8)
    found = run(to_onnx(model, input_dtype="int8"), signed)
    assert np.array_equal(found, np.asarray(model(signed)))


def test_the_file_is_written_and_read_back(integer_cnn, tmp_path):
    model = integer_cnn()
    path = tmp_path / "model.onnx"
    proto = to_onnx(model, path, input_dtype="uint8")
    assert onnx.load(path) == proto
    assert np.array_equal(run(onnx.load(path), IMAGES), np.asarray(model(IMAGES)))


@pytest.mark.parametrize(("bits", "is_turned"), in_turn([8, 4], [False, True]))
def test_zeros_around_integers_stay_zeros_in_front_of_a_pooling(bits, is_turned):
    """All values are negative, and some optimizers make the zeros pads of the pooling."""
    start = tf_keras.initializers.Constant(-9.0)
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 2))])
    for kernel in (3, 2):
        model.add(layers.Conv2D(4, kernel, bias_initializer=start))
        model.add(layers.ZeroPadding2D(1))
        if is_turned:
            model.add(layers.Permute((2, 1, 3)))
        model.add(layers.MaxPooling2D(3, 2))
    model.add(layers.Flatten())
    model.add(layers.Dense(3))
    x = np.random.default_rng(0).integers(-3, 4, (4, 8, 8, 2)).astype(np.float32)
    network = quantized(model, x, weight_bits=bits, activation_bits=bits)
    proto = to_onnx(network)
    np.testing.assert_array_equal(run(proto, x), network(x).numpy())
    inlined = onnx.inliner.inline_local_functions(proto)
    assert not folded_as_some_runtimes_do(inlined)
