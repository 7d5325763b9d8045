"""Networks that passes and transforms rearrange compute what the float model computes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.errors import ArgumentError, UnsupportedLayerError
from larqlite.integer.models import transforms
from larqlite.integer.models.transforms import _sanitize
from larqlite.integer.models.transforms.internal import transformed
from larqlite.qat import passes
from larqlite.qat.graph import Builder, read
from larqlite.qat.schemes import get_schemes
from tests.common.eager import quantize, quantize_model
from tests.common.samples import in_turn
from tests.copies.networks import (
    FAMILY,
    family_member,
    images,
    random_network,
    refused,
)

SEPARABLE = (tf_keras.layers.SeparableConv1D, tf_keras.layers.SeparableConv2D)
# A third of the sample are those in which most transforms follow one another.
GROUPED = [case for case in FAMILY if case[2] == "grouped" and not refused(case)]
SAMPLE = [FAMILY[k] for k in np.random.default_rng(7).permutation(len(FAMILY))[:14]]
SAMPLE += GROUPED[::7]


def outputs_of(model, x):
    return [np.asarray(y) for y in tf.nest.flatten(model(x, training=False))]


def assert_equal_networks(model, other, x):
    """Equal but for the rounding of float32."""
    for a, b in zip(outputs_of(model, x), outputs_of(other, x), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(a).max() + 1e-6, rtol=0)


def after_passes(model, runs, scheme="int8"):
    """The float model that is left of a quantization-aware one: nothing is rounded."""
    graph = read(model, "a test")
    for part in graph.graphs():
        for entry in part.entries():
            entry.scheme = get_schemes(scheme, "a test") if not entry.graph else None
    for run in runs:
        for part in list(graph.graphs()):
            run(part)
    for part in graph.graphs():
        for entry in part.entries():
            entry.config = None
            if isinstance(entry.layer, qat.QuantizeLayer):
                entry.layer.quantizer = None
    return Builder("", "a test").model(graph)


def check_member(case):
    model, x = family_member(case), images()
    if refused(case):
        with pytest.raises(ArgumentError, match="Rescaling"):
            transforms.sanitize(model)
    else:
        assert_equal_networks(model, transforms.sanitize(model), x)
    assert_equal_networks(model, after_passes(model, passes.PASSES), x)


def test_a_member_of_the_family_stays_the_network_that_it_was():
    assert len(FAMILY) == 720
    for case in SAMPLE:
        tf_keras.backend.clear_session()
        check_member(case)


@pytest.mark.slow
def test_every_member_of_the_family_stays_the_network_that_it_was():
    for case in FAMILY:
        tf_keras.backend.clear_session()
        check_member(case)


# A mean leaves little of the signal (a deviation of 1.2 becomes one of 0.17), and all of
# what the roundings of kernels and biases add at every position alike: correlations of
# 0.9932 and 0.9890 at 8 bits. `check_rounding` says how large these roundings are.
LITTLE_SIGNAL = [
    ("offset", "same_size", "wide", "no_bias", "relu", "raw", "mean"),
    ("offset", "zeros", "wide", "no_bias", "linear", "raw", "mean"),
]


def check_integers(case):
    """The integer model is near the float one, as a channel of 8 bits is."""
    model, x = family_member(case), images(8)
    integers = quantize(model, samples=x)
    for a, b in zip(outputs_of(model, x), outputs_of(integers, x), strict=True):
        assert np.abs(a - b).max() < 0.1 * np.abs(a).max()
        if case not in LITTLE_SIGNAL:
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995


def check_rounding(case, bits):
    r"""The error of a mean is that of rounding kernels and bias: $2^{-bits}$ and no more.

    Each of the $k$ weights of a channel is off by $s / \sqrt{12}$ and meets inputs of mean
    $\bar x$, the bias $-\sum w$ that the offset became by $t / \sqrt{12}$, with the steps
    $s = \max|w| / (2^{bits-1} - 1)$ and $t$, a power of two of accumulator steps. Of 7
    channels with independent errors less than one in 3000 has more than twice the sum.
    Zeros around the image are padded as 127 of 127.5, since inputs are whole numbers.
    """
    model, x = family_member(case), images(8)
    kernel = next(layer.kernel for layer in model.layers if layer.weights).numpy()
    step = np.abs(kernel).max((0, 1, 2)) / (2 ** (bits - 1) - 1)
    accumulated = step / 127.5
    bias = np.abs(kernel.sum((0, 1, 2)))
    bias_step = accumulated * 2.0 ** (
        np.ceil(np.log2((bias / accumulated).max())) - (bits - 1)
    )
    meets = kernel[..., 0].size * (x / 127.5).mean() ** 2
    rounding = np.sqrt(((step**2 * meets + bias_step**2) / 12).mean())
    name = transforms.sanitize(model).layers[1].name
    widths = {f"{role}_quantizer": {"bitwidth": bits} for role in ("weight", "bias")}
    integers = quantize(model, samples=x, q_config={name: widths})
    y = x / 127.5 - 1
    if case[1] == "zeros":
        edges = ((0, 0), (1, 1), (1, 1), (0, 0))
        y = np.pad(y, edges, constant_values=127 / 127.5 - 1)
    y = tf.nn.conv2d(y.astype("float32"), kernel, 1, "VALID").numpy()
    expected = (np.maximum(y, 0) if case[4] == "relu" else y).mean((1, 2))
    error = np.sqrt(((outputs_of(integers, x)[0] - expected) ** 2).mean())
    assert rounding / 8 < error < 2 * rounding


@pytest.mark.parametrize(("bits", "case"), in_turn([8, 10, 12, 14, 16], LITTLE_SIGNAL))
def test_what_a_mean_leaves_of_little_signal_is_off_by_rounding_alone(bits, case):
    check_rounding(case, bits)


def check_quantization_aware(case):
    model, x = family_member(case), images(8)
    quantized = quantize_model(model, scheme="int12", calibrate=x)
    for a, b in zip(outputs_of(model, x), outputs_of(quantized, x), strict=True):
        assert np.abs(a - b).max() < 0.02 * np.abs(a).max()


@pytest.mark.parametrize("check", [check_integers, check_quantization_aware])
def test_a_quantized_member_is_near_to_the_float_one(check):
    for case in [case for case in SAMPLE if not refused(case)][:1] + GROUPED[5:6]:
        check(case)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_integers, check_quantization_aware])
def test_every_quantized_member_is_near_to_the_float_one(check):
    for case in [case for case in FAMILY if not refused(case)]:
        tf_keras.backend.clear_session()
        check(case)


def check_random_network(seed):
    tf_keras.backend.clear_session()
    model, x = random_network(seed), images(2) / 255
    assert_equal_networks(model, transforms.sanitize(model), x)
    assert_equal_networks(model, after_passes(model, passes.PASSES), x)


def has_separable(model):
    return any(type(part) in SEPARABLE for part in model.submodules)


def check_each_alone(seed):
    tf_keras.backend.clear_session()
    model, x = random_network(seed), images(2) / 255
    kept = model.get_weights()
    for run in _sanitize.PASSES:
        assert_equal_networks(model, transformed(model, "sanitize", [run]), x)
    for run in passes.PASSES:
        runs = [run]
        if run is passes.configs.run and has_separable(model):
            # No integer engine has it as one operation, so it has no rule of its own.
            with pytest.raises(UnsupportedLayerError, match=r"separable\.run stand"):
                after_passes(model, runs)
            runs = [passes.separable.run, run]
        assert_equal_networks(model, after_passes(model, runs), x)
    for before, after in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_random_network_is_the_same_after_all_passes():
    for seed in range(2):
        check_random_network(seed)


@pytest.mark.slow
def test_a_random_network_is_the_same_after_each_pass():
    check_each_alone(5)
    check_each_alone(6)  # with a separable convolution


@pytest.mark.slow
def test_many_random_networks_are_the_same_after_each_pass_and_after_all():
    for seed in range(6, 120):
        check_random_network(seed)
        check_each_alone(seed)
