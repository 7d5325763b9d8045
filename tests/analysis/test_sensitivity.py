"""Sensitivity: noise by hand where it can be counted, ranks and cost on a trained network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.analysis import sensitivity
from larqlite.analysis._measured import rank_correlation
from tests.common.eager import eagerly

layers = tf_keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def linear(outputs: int = 1):
    """Two layers without bias or activation, so that first order is all there is."""
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            layers.Dense(8, use_bias=False, name="first"),
            layers.Dense(outputs, use_bias=False, name="last"),
        ],
        name="linear",
    )


def inputs(count: int = 32, width: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, width)).astype("float32")


def analysed(*args, **kwargs):
    with eagerly():
        return sensitivity(*args, **kwargs)


@pytest.mark.parametrize(("name", "bits"), [("first", 4), ("last", 3), ("first", 2)])
def test_noise_of_rounded_weights_is_that_of_numpy_measured_and_foretold(name, bits):
    model, x = linear(), inputs()
    report = analysed(model, x, (f"int{bits}/float",))
    cell = report.cell(name, f"int{bits}/float")
    first, last = (layer.kernel.numpy() for layer in model.layers)
    kernel = model.get_layer(name).kernel.numpy()
    step = np.abs(kernel).max() / (2 ** (bits - 1) - 1)
    rounded = np.round(kernel / step) * step
    wanted = x @ first @ last
    given = (
        x
        @ (rounded if name == "first" else first)
        @ (rounded if name == "last" else last)
    )
    ratio = 10 * np.log10((wanted**2).sum() / ((wanted - given) ** 2).sum())
    assert cell.sqnr_db == pytest.approx(ratio, abs=0.01)
    # One output: whatever the sign, its square is the change itself.
    assert cell.predicted_db == pytest.approx(ratio, abs=0.01)
    assert cell.weights == kernel.size


def test_random_signs_add_up_to_the_noise_of_several_outputs():
    report = analysed(linear(5), inputs(256), ("int3/float",), samples=256,
                      gradient_samples=256, batch_size=256)  # fmt: skip
    for cell in report.cells:
        assert cell.predicted_db == pytest.approx(cell.sqnr_db, abs=1.0)


def norm_net():
    tf_keras.utils.set_random_seed(5)
    source = tf_keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(source)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    inside = tf_keras.Sequential(
        [tf_keras.Input((6, 6, 4)), layers.DepthwiseConv2D(3, name="depthwise")],
        name="inside",
    )
    x = layers.Flatten(name="flat")(inside(x))
    x = layers.Dense(3, name="labels")(x)
    return tf_keras.Model(source, x, name="normal")


def test_layers_get_widths_with_what_only_they_feed():
    x = np.random.default_rng(2).normal(size=(16, 8, 8, 2)).astype("float32")
    y = np.arange(16) % 3
    model = norm_net()
    before = [weight.numpy() for weight in model.weights]
    report = analysed(model, (x, y), ("int8", "binary"), gradient_samples=16)
    assert dict(report.members) == {
        "conv": ("conv", "norm", "relu"),
        "depthwise": ("depthwise",),
        "labels": ("labels",),
    }
    assert all(map(np.array_equal, before, [w.numpy() for w in model.weights]))
    for layer in report.layers:
        wide, narrow = report.cell(layer, "int8"), report.cell(layer, "binary")
        assert wide.sqnr_db > 25 > narrow.sqnr_db
        assert wide.predicted_db == pytest.approx(wide.sqnr_db, abs=4)
        assert wide.accuracy_loss == pytest.approx(report.accuracy - wide.accuracy)
    assert report.ranked()[0].width == "binary"
    table = report.scheme({"conv": "int4", "labels": "int8"})
    assert table == {"conv": "int4", "norm": "int4", "relu": "int4", "labels": "int8"}
    right = model.predict(x, verbose=0).argmax(-1) == y
    assert report.accuracy == pytest.approx(right.mean())
    content = json.loads(json.dumps(report.to_dict()))
    assert len(content["cells"]) == 6
    assert content["cost_ratio"] > 0
    assert "points of accuracy lost" in str(report)
    figure = report.plot()
    drawn = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert drawn[0] == [report.cell(layer, "int8").sqnr_db for layer in report.layers]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_quantized_layers_keep_their_quantizers_and_the_others_are_looked_at():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            layers.Dense(8, name="first"),
            lq.layers.QuantDense(8, name="binary", **BINARY),
            layers.Dense(2, name="last"),
        ]
    )
    report = analysed(model, inputs(), ("int8",), method="measured")
    assert report.layers == ("first", "last")
    assert report.rank_correlation is None
    assert report.cost_ratio is None
    assert report.cells[0].predicted_db is None


def test_several_inputs_shared_layers_and_whole_numbers():
    tf_keras.utils.set_random_seed(7)
    shared = layers.Dense(6, name="shared")
    sources = [tf_keras.Input((6,), name=name) for name in "ab"]
    words = tf_keras.Input((3,), dtype="int32", name="words")
    rows = layers.Flatten()(layers.Embedding(9, 2, name="rows")(words))
    joined = layers.Concatenate()([shared(sources[0]), shared(sources[1]), rows])
    outputs = [layers.Dense(2, name=name)(joined) for name in ("one", "two")]
    model = tf_keras.Model([*sources, words], outputs)
    numbers = np.arange(96).reshape(32, 3) % 9
    report = analysed(model, [inputs(), 3 * inputs(), numbers], ("int4",))
    assert report.layers == ("shared", "rows", "one", "two")
    for cell in report.cells:
        # Above 60 dB the rounding of float32 is part of the noise.
        assert cell.sqnr_db > 60 or abs(cell.predicted_db - cell.sqnr_db) < 4


def test_a_width_of_ones_own_is_a_scheme_by_a_word():
    own = {"mean": lq.qat.BinaryScheme("magnitude_aware_sign", None)}
    report = analysed(linear(), inputs(), own, method="gradients")
    assert report.widths == ("mean",)
    assert report.cells[0].sqnr_db is None
    assert report.cells[0].predicted_db < 20


def test_spearmans_correlation_is_that_of_ranks():
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24).
    assert rank_correlation([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(0.8)
    # Equal values share a rank: 1.5 1.5 3 against 1 2 3, as Pearson's of the ranks.
    assert rank_correlation([7, 7, 9], [1, 2, 3]) == pytest.approx(np.sqrt(3) / 2)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"widths": ("int4", "float")}, "leaves a layer as it is"),
        ({"widths": ("int44",)}, "unknown scheme 'int44'"),
        ({"widths": ()}, "no widths"),
        ({"method": "gradient"}, 'Did you mean "gradients"'),
        ({"samples": 0}, "samples=0"),
        ({"gradient_samples": 2.5}, "gradient_samples=2.5"),
        ({"data": np.full((4, 6), np.nan, "float32")}, "not finite"),
        ({"data": inputs(4, 5)}, r"\(4, 5\)|shapes"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    given = {"data": inputs(), **arguments}
    with pytest.raises(lq.errors.ArgumentError, match=said):
        sensitivity(linear(), **given)


def test_a_model_without_anything_float_is_refused_by_its_layers():
    model = tf_keras.Sequential(
        [tf_keras.Input((6,)), lq.layers.QuantDense(3, name="all", **BINARY)]
    )
    with pytest.raises(
        lq.errors.UnsupportedModelError, match=r"\(all\) have quantizers"
    ):
        sensitivity(model, inputs())


@pytest.mark.slow
def test_on_a_trained_network_gradients_rank_as_measuring_does_for_a_twentieth():
    """Six layers on Fashion-MNIST: 0.99 and 30 times less were measured.

    Of the accuracy, gradients can tell no more than the signal does that was measured.
    """
    (x, y), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    x, x_test = map(lq.datasets.to_float_images, (x, x_test))
    tf_keras.utils.set_random_seed(0)
    source = x_out = tf_keras.Input((28, 28, 1))
    for number, (channels, stride) in enumerate(
        [(16, 2), (24, 1), (24, 1), (32, 2), (32, 1)]
    ):
        conv = layers.Conv2D(
            *(channels, 3, stride, "same"), use_bias=False, name=f"conv_{number}"
        )
        x_out = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(conv(x_out)))
    x_out = layers.Dense(10, name="labels")(layers.GlobalAveragePooling2D()(x_out))
    model = tf_keras.Model(source, x_out)
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(x, y, batch_size=64, epochs=1, verbose=0)
    sensitivity(model, x_test, ("int8",), method="gradients")  # what is made once
    report = sensitivity(model, (x_test, y_test))
    assert report.rank_correlation > 0.93
    by_signal = rank_correlation(
        [cell.accuracy_loss for cell in report.cells],
        [-cell.sqnr_db for cell in report.cells],
    )
    assert report.accuracy_rank_correlation > by_signal - 0.1
    assert report.cost_ratio > 20
