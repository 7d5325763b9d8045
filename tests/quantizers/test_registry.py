"""Names and quantizers: what resolves to what, near matches, and one's own quantizer."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, QuantizerError, UnknownQuantizerError


def test_the_documented_names_are_there():
    assert {
        "approx_sign",
        "dorefa",
        "magnitude_aware_sign",
        "ste_heaviside",
        "ste_sign",
        "ste_tern",
        "swish_sign",
    } <= set(lq.quantizers.names())
    assert lq.quantizers.names() == sorted(lq.quantizers.names())


@pytest.mark.parametrize(
    "name", ["dorefa", "dorefa_quantizer", "DoReFa", "DoReFaQuantizer"]
)
def test_every_name_of_dorefa_resolves(name):
    assert isinstance(lq.quantizers.get(name), lq.quantizers.DoReFa)
    assert lq.quantizers.get(name).precision == 2
    assert lq.quantizers.DoReFaQuantizer is lq.quantizers.DoReFa


@pytest.mark.parametrize("name", ["noop", "no_op", "NoOp", "NoOpQuantizer"])
def test_noop_by_string_says_that_a_precision_is_needed(name):
    with pytest.raises(
        lq.errors.QuantizerError, match=r"precision.*\n.*NoOp\(precision=1"
    ):
        lq.quantizers.get(name)
    with pytest.raises(lq.errors.QuantizerError, match="precision"):
        lq.quantizers.get(lq.quantizers.NoOp)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("ste_sing", "ste_sign"),
        ("SteSgn", "SteSign"),
        ("swishsign", "swish_sign"),
        ("dorefa_quantiser", "dorefa_quantizer"),
    ],
)
def test_a_typo_gets_the_near_match(typo, meant):
    with pytest.raises(lq.errors.UnknownQuantizerError, match=rf'mean.*"{meant}"') as e:
        lq.quantizers.get(typo)
    assert isinstance(e.value, ValueError)
    assert isinstance(e.value, lq.errors.LarqliteError)


@pytest.mark.parametrize(
    "identifier",
    ["relu", "hard_tanh", "weight_clip", "", 42, 1.5, ["ste_sign"]],
)
def test_what_is_no_quantizer_is_refused(identifier):
    with pytest.raises(lq.errors.UnknownQuantizerError):
        lq.quantizers.get(identifier)


def test_classes_that_are_no_quantizers_are_refused():
    with pytest.raises(lq.errors.UnknownQuantizerError, match="WeightClip"):
        lq.quantizers.get(lq.constraints.WeightClip)


def test_none_stays_none_and_callables_stay_what_they_are():
    assert lq.quantizers.get(None) is None
    assert lq.quantizers.get(tf.sign) is tf.sign
    assert lq.quantizers.get_kernel_quantizer(None) is None


def test_a_custom_object_scope_is_asked():
    def half(x):
        return x / 2

    with tf_keras.saving.custom_object_scope({"half": half}):
        assert lq.quantizers.get("half") is half
    with pytest.raises(lq.errors.UnknownQuantizerError):
        lq.quantizers.get("half")
    assert lq.quantizers.deserialize("half", custom_objects={"half": half}) is half


def test_kernel_quantizers_take_the_metrics_of_the_scope_but_keep_their_own():
    with lq.context.metrics_scope(["flip_ratio"]):
        taken = lq.quantizers.get_kernel_quantizer("ste_sign")
        own = lq.quantizers.get_kernel_quantizer(lq.quantizers.SteSign(metrics=[]))
        for_inputs = lq.quantizers.get("ste_sign")
    assert taken.tracked_metrics == ("flip_ratio",)
    assert own.tracked_metrics == for_inputs.tracked_metrics == ()
    again = lq.quantizers.deserialize(lq.quantizers.serialize(taken))
    assert again.tracked_metrics == ("flip_ratio",)


def test_an_unknown_metric_of_a_quantizer_is_named():
    with pytest.raises(lq.errors.ArgumentError, match=r"SteSign.*'flips'"):
        lq.quantizers.SteSign(metrics=["flips"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lq.quantizers.DoReFa(0), "k_bit"),
        (lambda: lq.quantizers.DoReFa(2.5), "k_bit.*2.5"),
        (lambda: lq.quantizers.DoReFa("2"), "k_bit.*'2'"),
        (lambda: lq.quantizers.DoReFa(True), "k_bit.*True"),
        (lambda: lq.quantizers.DoReFa(2, mode="weight"), r'mode.*"weights"'),
        (lambda: lq.quantizers.NoOp(0), "precision"),
        (lambda: lq.quantizers.NoOp(1.5), "precision"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(lq.errors.ArgumentError, match=message):
        make()


def test_a_mode_changed_later_is_checked_at_the_call():
    quantizer = lq.quantizers.DoReFa(2)
    quantizer.mode = "bits"
    with pytest.raises(lq.errors.ArgumentError, match="'bits'"):
        quantizer(tf.ones(3))


def test_ones_own_quantizer_works_by_string_everywhere(tmp_path):
    @lq.quantizers.register("soft_sign")
    class SoftSign(lq.quantizers.Quantizer):
        precision = 1

        def forward(self, x):
            return lq.math.sign(x)

        def derivative(self, x):
            return 1 / (1 + tf.abs(x)) ** 2

    model = tf_keras.Sequential(
        [
            tf_keras.Input((4,)),
            lq.layers.QuantDense(
                3, kernel_quantizer="soft_sign", kernel_constraint="weight_clip"
            ),
            tf_keras.layers.Activation("soft_sign"),
            lq.layers.QuantDense(2, input_quantizer="soft_sign"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    expected = model.predict(x, verbose=0)
    for ending in (".keras", ".h5", ""):
        model.save(tmp_path / f"model{ending}")
        again = tf_keras.models.load_model(tmp_path / f"model{ending}")
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    profile = lq.models.profile(model)
    assert profile.layers[0].weights[0].bits == 1
    with tf.GradientTape() as tape:
        kernel = model.layers[0].kernel
        loss = tf.reduce_sum(model.layers[0](x))
    upstream = x.sum(0)[:, None] * np.ones((4, 3))
    np.testing.assert_allclose(
        tape.gradient(loss, kernel),
        upstream / (1 + abs(kernel.numpy())) ** 2,
        rtol=1e-5,
    )
    assert lq.plot.quantizer("soft_sign").axes
    assert "soft_sign" in lq.quantizers.names()


def test_a_plain_function_can_be_registered(tmp_path):
    @lq.quantizers.register("halves")
    @lq.utils.set_precision(2)
    def halves(x):
        return tf.round(2 * x) / 2

    layer = lq.layers.QuantDense(2, kernel_quantizer="halves", input_quantizer="halves")
    assert layer.kernel_quantizer.precision == 2
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    model.save(tmp_path / "model.keras")
    again = lq.models.load(tmp_path / "model.keras").layers[0]
    assert again.kernel.precision == 2
    np.testing.assert_array_equal(again.quantized_weight(), layer.quantized_weight())


def test_a_taken_name_is_refused_and_nothing_is_changed():
    before = lq.quantizers.entries()
    with pytest.raises(lq.errors.ArgumentError, match=r'"ste_sign".*taken by'):

        @lq.quantizers.register("ste_sign")
        class Other(lq.quantizers.Quantizer):
            precision = 1

    assert lq.quantizers.entries() == before
    assert type(lq.quantizers.get("ste_sign")) is lq.quantizers.SteSign


def test_running_a_definition_again_replaces_it():
    def define(precision):
        @lq.quantizers.register("twice")
        class Twice(lq.quantizers.Quantizer):
            pass

        Twice.precision = precision

    define(1)
    define(2)
    assert lq.quantizers.get("twice").precision == 2
    assert sum(entry.name == "twice" for entry in lq.quantizers.entries()) == 1


def test_a_name_for_a_class_that_needs_arguments_is_refused():
    with pytest.raises(lq.errors.ArgumentError, match="requires levels"):

        @lq.quantizers.register("levels")
        class Levels(lq.quantizers.Quantizer):
            def __init__(self, levels, **kwargs):
                super().__init__(**kwargs)


def test_reading_a_trainable_variable_in_forward_is_refused_with_the_fix():
    class Learned(lq.quantizers.Quantizer):
        def build(self, input_shape):
            self.scale = self.add_weight("scale", initializer="ones")
            super().build(input_shape)

        def forward(self, x):
            return self.scale * lq.math.sign(x)

        def derivative(self, x):
            return tf.abs(x) <= 1

    quantizer = Learned()
    with pytest.raises(lq.errors.QuantizerError, match=r"trainable variable.*\n.*call"):
        quantizer(tf.ones(3))
    in_a_model = tf.function(lambda x: quantizer(x))
    with pytest.raises(lq.errors.QuantizerError, match=r"trainable variable"):
        in_a_model(tf.ones(3))


def test_a_quantizer_with_trainable_state_overrides_call(tmp_path):
    class Scaled(lq.quantizers.Quantizer):
        precision = 1

        def build(self, input_shape):
            self.scale = self.add_weight("scale", initializer="ones")
            super().build(input_shape)

        def call(self, inputs):
            sign = lq.quantizers.ste_sign(inputs)
            return tf.cast(self.scale, inputs.dtype) * sign

    for policy in ("float32", "mixed_float16"):
        layer = lq.layers.QuantDense(
            2,
            input_quantizer=Scaled(),
            kernel_quantizer=Scaled(),
            kernel_constraint="weight_clip",
            dtype=tf_keras.mixed_precision.Policy(policy),
        )
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(tf.ones((3, 4))), "float32"))
        gradients = tape.gradient(loss, layer.trainable_weights)
        assert len(layer.trainable_weights) == 4
        assert all(g is not None for g in gradients)


def test_a_quantizer_without_forward_or_derivative_says_what_is_missing():
    class Nothing(lq.quantizers.Quantizer):
        pass

    class NoDerivative(lq.quantizers.Quantizer):
        def forward(self, x):
            return x

    x = tf.ones(2)
    with pytest.raises(lq.errors.QuantizerError, match="forward"):
        Nothing()(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = NoDerivative()(x)
    with pytest.raises(lq.errors.QuantizerError, match="derivative"):
        tape.gradient(y, x)


def test_a_name_with_arguments_gives_the_quantizer_that_the_class_gives():
    text = " dorefa(3, mode='weights') "
    of_text = lq.quantizers.get(text)
    expected = lq.quantizers.DoReFa(3, mode="weights").get_config()
    assert of_text.get_config() | {"name": ""} == expected | {"name": ""}
    assert lq.quantizers.get("SteSign(clip_value=0.5)").clip_value == 0.5
    # Two layers that are given one text have a quantizer each.
    layers = [lq.layers.QuantDense(2, input_quantizer="rsign()") for _ in range(2)]
    assert layers[0].input_quantizer is not layers[1].input_quantizer


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("dorefa(k_bits=3)", QuantizerError, r"k_bits[\s\S]*DoReFa\(k_bit, mode"),
        ("dorefa(0)", ArgumentError, "positive integer"),
        ("dorefa(print(1))", QuantizerError, "numbers and words in quotes"),
        ("lq.dorefa(3)", QuantizerError, "neither a name nor"),
        ("dorefa(3", UnknownQuantizerError, "unknown quantizer"),
        ("dorefa(3))", QuantizerError, "neither a name nor"),
        ("dorefaa(3)", UnknownQuantizerError, 'Did you mean "dorefa"'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(text, error, match):
    with pytest.raises(error, match=match):
        lq.quantizers.get(text)
