"""Every layer with packed kernels, in every geometry, against Keras and against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import assume, given, reject, settings, strategies as st

import larqlite as lq
from tests.common.samples import few_or_more
from tests.deploy.geometries import built, convolutions
from tests.deploy.inside_a_file import channels_last, metadata, tensors
from tests.deploy.keras_and_file import export

INPUTS = ["ste_sign", "approx_sign", "ste_heaviside", "ste_tern"]
KERNELS = ["ste_sign", "ste_tern"]
ROLES = {
    "Depthwise": ["depthwise_quantizer"],
    "Separable": ["depthwise_quantizer", "pointwise_quantizer"],
}
GEOMETRY = (
    "kernel_size",
    "strides",
    "dilation_rate",
    "padding",
    "output_padding",
    "groups",
    "filters",
    "depth_multiplier",
)


def in_file(model, x, tmp_path):
    """The file's outputs, with those before and after the packed node."""
    path = tmp_path / "one.onnx"
    report = export(model, path)
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes
    (entry,) = metadata(path)["larqlite.layers"]
    names = [entry[key] for key in ("quantized", "accumulator") if entry[key]]
    found = tensors(path, x, names)
    return report, found, [found[name] for name in names]


@pytest.mark.parametrize("kind", ["Conv", "Depthwise", "Separable", "Transpose"])
@pytest.mark.parametrize("examples", few_or_more(7, 40))
def test_sums_of_small_integers_equal_those_of_keras_bit_for_bit(
    kind, examples, tmp_path_factory
):
    folder = tmp_path_factory.mktemp(kind)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(
        convolution=convolutions(kind),
        input_quantizer=st.sampled_from(INPUTS),
        kernels=st.lists(st.sampled_from(KERNELS), min_size=2, max_size=2),
    )
    def check(convolution, input_quantizer, kernels):
        cls, arguments, shape = convolution
        quantizers = zip(ROLES.get(kind, ["kernel_quantizer"]), kernels, strict=False)
        arguments |= {"input_quantizer": input_quantizer, **dict(quantizers)}
        model, x = built(cls, arguments, shape)
        expected = in_keras(model, x)
        report, found, _ = in_file(model, x, folder)
        np.testing.assert_array_equal(found["layer"], expected)
        if not (input_quantizer == "ste_heaviside" and pads_with_minus(arguments)):
            assert report.packed[0].operation[0] in "BT"

    check()


def in_keras(model, x) -> np.ndarray:
    """What Keras computes, where it can: not every crop of a transposed convolution."""
    assume(0 not in model.output_shape[1:])
    try:
        return model(x).numpy()
    except tf.errors.OpError:
        reject()


def pads_with_minus(arguments: dict) -> bool:
    return arguments.get("pad_values") == -1


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 4), max_size=3),
    channels=st.sampled_from([1, 2, 7, 8, 9, 33]),
    units=st.sampled_from([1, 3, 8, 17]),
    use_bias=st.booleans(),
    input_quantizer=st.sampled_from(INPUTS),
    kernel_quantizer=st.sampled_from(KERNELS),
)
def test_a_dense_layer_sums_over_the_last_axis_of_any_rank(
    tmp_path_factory,
    sizes,
    channels,
    units,
    use_bias,
    input_quantizer,
    kernel_quantizer,
):
    model, x = built(
        lq.layers.QuantDense,
        {
            "units": units,
            "use_bias": use_bias,
            "bias_initializer": "normal",
            "input_quantizer": input_quantizer,
            "kernel_quantizer": kernel_quantizer,
        },
        (*sizes, channels),
    )
    _, found, (quantized, sums) = in_file(model, x, tmp_path_factory.mktemp("dense"))
    np.testing.assert_array_equal(found["layer"], model(x).numpy())
    kernel = model.layers[0].quantized_weight().numpy()
    np.testing.assert_array_equal(sums, quantized @ kernel)


@pytest.mark.parametrize("kind", ["Conv", "Depthwise", "Transpose"])
@pytest.mark.parametrize(
    ("quantizer", "to_integers"),
    [
        (lambda: "magnitude_aware_sign", np.sign),
        (lambda: lq.quantizers.DoReFa(1, mode="weights"), np.sign),
        (lambda: lq.quantizers.DoReFa(3, mode="weights"), lambda k: np.rint(7 * k)),
        (lambda: lq.quantizers.DoReFa(8, mode="weights"), lambda k: np.rint(255 * k)),
    ],
    ids=["magnitude_aware_sign", "dorefa1", "dorefa3", "dorefa8"],
)
@pytest.mark.parametrize("examples", few_or_more(2, 10))
def test_accumulators_are_the_integer_sums_that_keras_finds_in_float64(
    kind, quantizer, to_integers, examples, tmp_path_factory
):
    folder = tmp_path_factory.mktemp(kind)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(
        convolution=convolutions(kind, pad_values=(0.0,)),
        bits=st.sampled_from([1, 2, 4]),
    )
    def check(convolution, bits):
        cls, arguments, shape = convolution
        steps = 2**bits - 1
        role = ROLES.get(kind, ["kernel_quantizer"])[0]
        arguments |= {"input_quantizer": lq.quantizers.DoReFa(bits), role: quantizer()}
        model, x = built(cls, arguments, shape)
        expected = in_keras(model, x)
        _, found, inner = in_file(model, x, folder)
        largest = max(abs(expected).max(), 1e-3)
        np.testing.assert_allclose(
            found["layer"] / largest, expected / largest, atol=2e-6
        )
        if len(inner) == 1:  # a scale for each input channel: no integers
            assert kind == "Transpose"
            return
        quantized, sums = map(channels_last, inner)
        kernel = to_integers(model.layers[0].quantized_weight().numpy())
        unit = max(np.gcd.reduce(kernel.astype(int), axis=None), 1)
        expected = in_float64(
            model.layers[0], np.rint(steps * quantized), kernel / unit
        )
        np.testing.assert_array_equal(sums, expected)

    check()


def in_float64(layer, x, kernel) -> np.ndarray:
    """The sums of the Keras layer that a quantized layer derives from."""
    cls = next(c for c in type(layer).__mro__ if c.__module__.startswith("tf_keras."))
    config = {n: v for n, v in layer.get_config().items() if n in GEOMETRY}
    plain = cls(**config, use_bias=False, dtype="float64")
    plain.build(x.shape)
    plain.set_weights([kernel])
    return plain(x.astype(np.float64)).numpy()


@pytest.mark.parametrize("kind", ["Conv", "Depthwise", "Separable", "Transpose"])
def test_channels_first_layers_are_exported_too(kind, tmp_path):
    shapes = {"Conv": (4, 7, 6), "Transpose": (4, 5, 3)}
    cls = {
        "Conv": lq.layers.QuantConv2D,
        "Depthwise": lq.layers.QuantDepthwiseConv2D,
        "Separable": lq.layers.QuantSeparableConv2D,
        "Transpose": lq.layers.QuantConv2DTranspose,
    }[kind]
    roles = dict.fromkeys(ROLES.get(kind, ["kernel_quantizer"]), "ste_sign")
    filters = {} if kind == "Depthwise" else {"filters": 5}
    arguments = {
        "kernel_size": 3,
        "padding": "same",
        "input_quantizer": "ste_sign",
        "name": "layer",
        **roles,
        **filters,
    }
    shape = shapes.get(kind, (4, 6, 5))
    first = tf_keras.Sequential(
        [tf_keras.Input(shape), cls(data_format="channels_first", **arguments)]
    )
    last = tf_keras.Sequential(
        [tf_keras.Input((*shape[1:], shape[0])), cls(**arguments)]
    )
    last.set_weights(first.get_weights())
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    _, found, _ = in_file(first, x, tmp_path)
    # Keras' own result with channels last: not every CPU computes the other order.
    expected = np.moveaxis(last(channels_last(x)).numpy(), -1, 1)
    np.testing.assert_array_equal(found["layer"], expected)


def test_a_kernel_with_a_scale_for_each_input_channel_is_used_in_float_arithmetic(
    tmp_path,
):
    model, x = built(
        lq.layers.QuantConv2DTranspose,
        {
            "filters": 3,
            "kernel_size": 3,
            "input_quantizer": "ste_sign",
            "kernel_quantizer": "magnitude_aware_sign",
        },
        (4, 4, 5),
    )
    report, found, inner = in_file(model, x, tmp_path)
    assert len(inner) == 1
    assert report.packed[0].operation == "float"
    assert "are no integers times a scale" in report.in_float[0].why
    np.testing.assert_allclose(found["layer"], model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pad_values", [0.5, -1.0])
def test_pads_that_are_no_level_of_the_input_make_the_sums_float(pad_values, tmp_path):
    model, x = built(
        lq.layers.QuantConv2D,
        {
            "filters": 3,
            "kernel_size": 3,
            "padding": "same",
            "pad_values": pad_values,
            "input_quantizer": lq.quantizers.DoReFa(2),
            "kernel_quantizer": "ste_sign",
        },
        (4, 4, 5),
    )
    report, found, _ = in_file(model, x, tmp_path)
    assert report.packed[0].operation == "float"
    assert f"pad_values={pad_values:g} is no level" in report.in_float[0].why
    np.testing.assert_allclose(found["layer"], model(x), rtol=1e-5, atol=1e-6)


def test_sums_that_float32_cannot_hold_are_not_called_integers(tmp_path):
    model, x = built(
        lq.layers.QuantDense,
        {
            "units": 2,
            "input_quantizer": lq.quantizers.DoReFa(8),
            "kernel_quantizer": lq.quantizers.NoOp(precision=8),
            "kernel_initializer": tf_keras.initializers.Constant(127.0),
        },
        (800,),
    )
    kernel = model.layers[0].kernel
    kernel.assign(np.where(np.arange(1600).reshape(800, 2) % 7, 127.0, 1.0))
    report, found, _ = in_file(model, x, tmp_path)
    assert 255 * 127 * 800 * 6 // 7 > 2**24
    assert report.packed[0].operation == "float"
    assert "larger than the integers" in report.in_float[0].why
    np.testing.assert_allclose(found["layer"], model(x), rtol=1e-5)


def test_sums_that_the_kernel_itself_keeps_small_are_integers(tmp_path):
    """8 bits times 8 bits: the largest codes everywhere would be too much, these are not."""
    model, x = built(
        lq.layers.QuantConv2D,
        {
            "filters": 4,
            "kernel_size": 3,
            "input_quantizer": lq.quantizers.DoReFa(8),
            "kernel_quantizer": lq.quantizers.DoReFa(8, mode="weights"),
        },
        (6, 6, 33),
    )
    assert 255 * 255 * 9 * 33 > 2**24
    report, found, _ = in_file(model, x, tmp_path)
    assert report.packed[0].operation == "QConv2D"
    np.testing.assert_allclose(found["layer"], model(x), rtol=1e-4, atol=1e-5)
