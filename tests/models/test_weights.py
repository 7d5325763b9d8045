"""Quantized weights as values, and frozen models that hold them."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.common import cases
from tests.common.eager import quantize_model
from tests.common.samples import sampled


def nested_model():
    shared = lq.layers.QuantDense(
        4,
        kernel_quantizer="ste_tern",
        kernel_constraint="weight_clip",
        name="shared",
    )
    x = tf_keras.Input((4,))
    block = tf_keras.Model(x, shared(shared(x)), name="block")
    inputs = tf_keras.Input((3, 4))
    y = tf_keras.layers.TimeDistributed(
        lq.layers.QuantDense(
            4,
            input_quantizer="ste_sign",
            kernel_quantizer="magnitude_aware_sign",
            kernel_constraint="weight_clip",
            name="inside",
        ),
        name="steps",
    )(inputs)
    y = tf_keras.layers.Flatten()(y)
    y = block(tf_keras.layers.Dense(4, name="float")(y))
    return tf_keras.Model(inputs, [y, block(y)])


def test_each_kernel_is_given_as_trained_and_as_used():
    model = nested_model()
    weights = lq.models.quantized_weights(model)
    assert sorted(weights) == ["block/shared/kernel", "steps/inside/kernel"]
    scaled = weights["steps/inside/kernel"]
    by_hand = np.where(scaled.latent < 0, -1, 1) * abs(scaled.latent).mean(0)
    np.testing.assert_allclose(scaled.quantized, by_hand, rtol=1e-6)
    ternary = weights["block/shared/kernel"]
    assert set(np.unique(ternary.quantized)) <= {-1.0, 0.0, 1.0}
    assert (ternary.precision, scaled.precision) == (2, 1)
    np.testing.assert_array_equal(
        ternary.latent, model.get_layer("block").get_layer("shared").get_weights()[0]
    )


@pytest.mark.parametrize(
    "name", [*sampled([*cases.LAYERS, *cases.QUANTIZERS], 3), "nested"]
)
def test_a_frozen_model_predicts_the_same_and_holds_quantized_values(name):
    model = nested_model() if name == "nested" else cases.any_model(name)
    x = (
        np.random.default_rng(0).normal(size=(4, 3, 4)).astype("float32")
        if name == "nested"
        else cases.model_inputs(name)
    )
    frozen = lq.models.freeze(model)
    for a, b in zip(listed(model(x)), listed(frozen(x)), strict=True):
        np.testing.assert_array_equal(a, b)
    used = lq.models.quantized_weights(model)
    kept = lq.models.quantized_weights(frozen)
    for path, weight in used.items():
        np.testing.assert_array_equal(kept[path].latent, weight.quantized)
        assert kept[path].precision == weight.precision


@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_a_frozen_model_is_the_same_in_every_format(ending, tmp_path):
    model = nested_model()
    x = np.random.default_rng(0).normal(size=(4, 3, 4)).astype("float32")
    frozen = lq.models.freeze(model)
    frozen.compile()
    frozen.save(tmp_path / f"frozen{ending}")
    again = lq.models.load(tmp_path / f"frozen{ending}")
    for a, b in zip(listed(again(x)), listed(model(x)), strict=True):
        np.testing.assert_array_equal(a, b)
    weights = again.get_layer("block").get_layer("shared").get_weights()[0]
    assert set(np.unique(weights)) <= {-1.0, 0.0, 1.0}


def test_freezing_leaves_the_model_as_it_was():
    model = cases.model("QuantConv2D")
    before = model.get_weights()
    lq.models.freeze(model)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(model.layers[0].kernel_quantizer, lq.quantizers.SteSign)


@tf_keras.saving.register_keras_serializable("tests")
class Pair(tf_keras.layers.Layer):
    """Two Quant layers of equal shape in a layer of one's own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
        self.first = lq.layers.QuantDense(4, input_quantizer="ste_sign", **binary)
        self.second = lq.layers.QuantDense(4, **binary)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.second(self.first(x))


class Named(tf_keras.layers.Layer):
    """An argument that is called as a Quant layer's, but means something else."""

    def __init__(self, kernel_quantizer="ste_sign", **kwargs):
        super().__init__(**kwargs)
        self.kernel_quantizer = kernel_quantizer

    def call(self, x):
        return x + 1

    def get_config(self):
        return {**super().get_config(), "kernel_quantizer": self.kernel_quantizer}


def test_a_functional_model_of_ones_own_class_is_frozen():
    class Own(tf_keras.Model):
        def __init__(self):
            x = tf_keras.Input((4,))
            super().__init__(inputs=x, outputs=cases.layer("QuantDense")(x))

    model = Own()
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    np.testing.assert_array_equal(lq.models.freeze(model)(x), model(x))


def test_layers_inside_of_ones_own_layer_keep_their_places():
    model = tf_keras.Sequential([tf_keras.Input((4,)), Pair()])
    model.layers[0].first.trainable = False  # changes the order of model.weights
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    frozen = lq.models.freeze(model)
    np.testing.assert_array_equal(frozen(x), model(x))
    for name in ("first", "second"):
        np.testing.assert_array_equal(
            getattr(frozen.layers[0], name).kernel,
            getattr(model.layers[0], name).quantized_weight(),
        )


def test_layers_that_are_not_quant_layers_are_copied_as_they_are():
    def third_power(x):
        return x**3

    binary = {"kernel_quantizer": lq.math.sign, "input_quantizer": third_power}
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4,)),
            Named(),
            tf_keras.layers.Lambda(lambda x: 2 * x),
            lq.layers.QuantDense(3, **binary),
        ]
    )
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    frozen = lq.models.freeze(model)
    np.testing.assert_array_equal(frozen(x), model(x))
    assert frozen.layers[0].kernel_quantizer == "ste_sign"
    assert set(np.unique(frozen.layers[2].get_weights()[0])) <= {-1.0, 1.0}


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Own(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = lq.layers.QuantDense(
                2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
            )

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.ones((1, 3), "float32"))
    assert list(lq.models.quantized_weights(model)) == [f"{model.dense.name}/kernel"]
    with pytest.raises(lq.errors.UnsupportedModelError, match=r"Model\(inputs, output"):
        lq.models.freeze(model)


def test_a_layer_shared_into_a_nested_model_is_refused():
    layer = lq.layers.QuantDense(
        4, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    x, inputs = tf_keras.Input((4,)), tf_keras.Input((4,))
    block = tf_keras.Model(x, layer(x))
    model = tf_keras.Model(inputs, layer(block(inputs)))
    with pytest.raises(lq.errors.UnsupportedModelError, match="shared into a nested"):
        lq.models.freeze(model)


@pytest.mark.parametrize("function", [lq.models.freeze, lq.models.quantized_weights])
def test_an_unbuilt_model_is_refused_with_the_fix(function):
    model = tf_keras.Sequential([lq.layers.QuantDense(2)])
    with pytest.raises(lq.errors.UnbuiltModelError, match=r"tf_keras\.Input"):
        function(model)


def listed(x):
    return x if isinstance(x, (list, tuple)) else [x]


def test_weights_of_quantization_aware_layers_are_there_too():
    model = tf_keras.Sequential(
        [tf_keras.layers.Conv2D(4, 3, input_shape=(8, 8, 2), name="conv")]
    )
    data = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32")
    quantized = quantize_model(
        model, scheme="int3", calibrate=data, calibration="minmax"
    )
    (path, weight), *others = lq.models.quantized_weights(quantized).items()
    assert (path, others, weight.precision) == ("quant_conv/kernel", [], 3)
    latent = model.layers[0].kernel.numpy()
    np.testing.assert_array_equal(weight.latent, latent)
    # Seven levels in each output channel, the largest magnitude at code 3.
    step = np.abs(latent).max(axis=(0, 1, 2)) / 3
    np.testing.assert_allclose(
        weight.quantized, np.round(latent / step) * step, atol=1e-6
    )


def test_flip_ratios_are_found_by_layer_also_where_names_repeat_in_nested_models():
    def block(name):
        layers = [
            lq.layers.QuantSeparableConv1D(
                3,
                2,
                depthwise_quantizer="ste_tern",
                pointwise_quantizer="ste_tern",
                name="separable",
            ),
            lq.layers.QuantDense(
                4,
                kernel_quantizer=lq.quantizers.SteTern(name="mine"),
                name="dense",
            ),
        ]
        return tf_keras.Sequential([tf_keras.Input((3, 4)), *layers], name=name)

    with lq.context.metrics_scope(["flip_ratio"]):
        first, second = block("first"), block("second")
        x = tf_keras.Input((3, 4))
        model = tf_keras.Model(x, tf_keras.layers.Add()([first(x), second(x)]))
    found = lq.models.flip_ratios(model)
    assert list(found) == [
        "first/separable/depthwise_kernel",
        "first/separable/pointwise_kernel",
        "first/dense",
        "second/separable/depthwise_kernel",
        "second/separable/pointwise_kernel",
        "second/dense",
    ]
    dense = second.get_layer("dense")
    assert found["second/dense"] is dense.kernel_quantizer.flip_ratio
    assert found["second/dense"].name == "flip_ratio/mine"
    inputs = np.ones((1, 3, 4), "float32")
    model(inputs, training=True)
    dense.kernel.assign(-dense.kernel)
    model(inputs, training=True)
    quantized = dense.quantized_weight().numpy()
    assert found["second/dense"].result().numpy() == np.mean(quantized != 0)
    assert found["first/dense"].result().numpy() == 0
    assert lq.models.flip_ratios(tf_keras.Sequential([tf_keras.Input((2,))])) == {}
