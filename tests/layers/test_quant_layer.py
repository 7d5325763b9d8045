"""The mixin: quantizer arguments, warnings, shared instances, flip ratios, wrong inputs."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq


def dense(**kwargs):
    return lq.layers.QuantDense(
        2,
        **{"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"} | kwargs,
    )


def test_an_unknown_quantizer_says_where_and_what_was_meant():
    with pytest.raises(
        lq.errors.UnknownQuantizerError,
        match=r'QuantConv2D "conv_3", kernel_quantizer: unknown quantizer "ste_sing"'
        r'.*Did you mean "ste_sign"',
    ) as error:
        lq.layers.QuantConv2D(8, 3, kernel_quantizer="ste_sing", name="conv_3")
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("layer", "arguments", "constraints"),
    [
        ("QuantDense", (2,), ["kernel"]),
        ("QuantConv2D", (2, 3), ["kernel"]),
        ("QuantDepthwiseConv2D", (3,), ["depthwise"]),
        ("QuantSeparableConv1D", (2, 3), ["depthwise", "pointwise"]),
        ("QuantSeparableConv2D", (2, 3), ["depthwise", "pointwise"]),
    ],
)
def test_a_missing_constraint_is_warned_of_once_a_kernel(
    layer, arguments, constraints, caplog
):
    quantizers = {f"{name}_quantizer": "ste_sign" for name in constraints}
    make = getattr(lq.layers, layer)
    make(*arguments, **quantizers)
    assert len(caplog.records) == len(constraints)
    for record, name in zip(caplog.records, constraints, strict=True):
        assert f"`{name}_constraint`" in record.getMessage()
        assert "starved" in record.getMessage()
    caplog.clear()
    make(
        *arguments,
        **quantizers,
        **{f"{name}_constraint": "weight_clip" for name in constraints},
    )
    make(
        *arguments,
        **{f"{name}_quantizer": lq.quantizers.NoOp(1) for name in constraints},
    )
    make(*arguments, **{f"{name}_quantizer": "ste_tern" for name in constraints})
    everywhere = lq.quantizers.SteSign(clip_value=None)  # whose gradient is never zero
    make(*arguments, **{f"{name}_quantizer": everywhere for name in constraints})
    assert not caplog.records


def test_dorefa_for_activations_as_a_kernel_quantizer_is_warned_of(caplog):
    dense(kernel_quantizer="dorefa")
    assert 'mode="weights"' in caplog.text
    caplog.clear()
    dense(kernel_quantizer=lq.quantizers.DoReFa(2, mode="weights"))
    dense(input_quantizer="dorefa", kernel_quantizer=None)
    assert not caplog.records


def test_one_instance_in_two_places_becomes_two_that_reload(tmp_path):
    quantizer = lq.quantizers.SteSign(clip_value=0.5, metrics=["flip_ratio"])
    model = tf_keras.Sequential(
        [
            tf_keras.Input((2,)),
            dense(kernel_quantizer=quantizer),
            dense(kernel_quantizer=quantizer),
        ]
    )
    first, second = (layer.kernel_quantizer for layer in model.layers)
    assert first is quantizer is not second
    assert second.clip_value == 0.5
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 2)), np.ones((4, 2)), batch_size=1, verbose=0)
    names = [name for name in history.history if "flip_ratio" in name]
    assert len(names) == 2
    model.save(tmp_path / "model.keras")
    assert lq.models.load(tmp_path / "model.keras").count_params() == 12


def test_flip_ratios_of_a_fit_equal_a_count_by_hand_also_after_a_reload(tmp_path):
    with lq.context.metrics_scope(["flip_ratio"]):
        layer = dense(use_bias=False, kernel_quantizer="magnitude_aware_sign")
        model = tf_keras.Sequential([tf_keras.Input((8,)), layer])
    model.compile(tf_keras.optimizers.SGD(3.0), "mse")
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 8)), rng.normal(size=(6, 2))

    def flips_and_history(model):
        signs = []
        remember = tf_keras.callbacks.LambdaCallback(
            on_batch_begin=lambda batch, logs: signs.append(model.get_weights()[0] >= 0)
        )
        fitted = model.fit(
            x, y, batch_size=1, shuffle=False, callbacks=[remember], verbose=0
        )
        by_hand = np.mean([np.mean(a != b) for a, b in itertools.pairwise(signs)])
        (name,) = [n for n in fitted.history if n.startswith("flip_ratio/")]
        return by_hand, fitted.history[name][0]

    by_hand, reported = flips_and_history(model)
    assert by_hand > 0
    np.testing.assert_allclose(reported, by_hand, rtol=1e-5)
    assert [w.shape for w in model.weights] == [(8, 2)]
    assert model.evaluate(x, y, verbose=0, return_dict=True)[
        f"flip_ratio/{layer.name}"
    ] == pytest.approx(0)
    for ending in (".keras", ".h5", ""):
        model.save(tmp_path / f"model{ending}")
        again = lq.models.load(tmp_path / f"model{ending}")
        again.run_eagerly = True  # the step of the first fit is traced
        by_hand, reported = flips_and_history(again)
        np.testing.assert_allclose(reported, by_hand, rtol=1e-5)


def test_flips_of_a_quantizer_with_fractional_levels_are_counted():
    quantizer = lq.quantizers.DoReFa(2, mode="weights", metrics=["flip_ratio"])
    layer = dense(kernel_quantizer=quantizer, use_bias=False)
    x = np.ones((1, 2), "float32")
    layer.build(x.shape)
    for kernel in ([[1.0, 0.1], [-1.0, 0.1]], [[1.0, -0.9], [-1.0, 0.1]]):
        layer.kernel.assign(kernel)
        layer(x, training=True)
    layer(x, training=False)
    assert quantizer.flip_ratio.result().numpy() == 0.25


def test_metrics_of_an_input_quantizer_are_not_tracked_and_said_so(caplog):
    quantizer = lq.quantizers.SteSign(metrics=["flip_ratio"])
    layer = dense(input_quantizer=quantizer, kernel_quantizer=quantizer)
    assert "input_quantizer" in caplog.text
    layer(np.ones((3, 2), "float32"), training=True)
    assert layer.input_quantizer.flip_ratio is None
    assert layer.kernel_quantizer.flip_ratio is not None


def test_a_plain_function_is_a_quantizer_without_precision():
    layer = dense(kernel_quantizer=tf.sign, use_bias=False)
    layer.build((None, 1))
    layer.kernel.assign([[0.5, -0.5]])
    assert layer(np.ones((1, 1), "float32")).numpy().tolist() == [[1.0, -1.0]]
    assert layer.kernel.precision is None


def test_any_keras_layer_is_a_quantizer():
    layer = dense(kernel_quantizer=None, input_quantizer=tf_keras.layers.Dense(2))
    assert layer(np.ones((1, 2), "float32")).shape == (1, 2)
    assert len(layer.weights) == 4


def test_an_activity_of_the_regularizer_sees_the_latent_weight():
    layer = dense(kernel_regularizer="l1", use_bias=False)
    layer.build((None, 1))
    layer.kernel.assign([[0.5, -0.25]])
    layer(np.ones((1, 1), "float32"))
    assert layer.losses[0].numpy() == pytest.approx(0.01 * 0.75)


def test_an_unknown_weight_is_named_with_those_there_are():
    layer = dense()
    layer.build((None, 1))
    with pytest.raises(lq.errors.ArgumentError, match=r"'bias'.*\['kernel'\]"):
        layer.quantized_weight("bias")


def test_the_documented_gradient_tape_loop_trains():
    model = tf_keras.Sequential(
        [tf_keras.Input((2,)), dense(input_quantizer="ste_sign")]
    )
    optimizer = tf_keras.optimizers.SGD(0.1)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )
        return loss

    x, y = tf.constant([[1.0, -1.0]]), tf.constant([[4.0, -4.0]])
    losses = [step(x, y).numpy() for _ in range(8)]
    assert losses[-1] < losses[0]
    assert step.experimental_get_tracing_count() <= 2  # the first makes variables


def flip_ratios(model):
    return [metric.name for metric in model.metrics if "flip" in metric.name]


def test_flip_ratios_are_named_after_layers_in_every_run_of_a_session():
    names = []
    for _ in range(2):
        with lq.context.metrics_scope(["flip_ratio"]):
            model = tf_keras.Sequential(
                [
                    tf_keras.Input((4, 4, 2)),
                    lq.layers.QuantSeparableConv2D(
                        3,
                        2,
                        depthwise_quantizer="ste_tern",
                        pointwise_quantizer="ste_tern",
                        name="separable",
                    ),
                    tf_keras.layers.Flatten(),
                    lq.layers.QuantDense(2, kernel_quantizer="ste_tern", name="last"),
                    lq.layers.QuantDense(
                        2,
                        kernel_quantizer=lq.quantizers.SteTern(name="mine"),
                        name="named",
                    ),
                ]
            )
        names.append(flip_ratios(model))
    assert names[0] == [
        "flip_ratio/separable/depthwise_kernel",
        "flip_ratio/separable/pointwise_kernel",
        "flip_ratio/last",
        "flip_ratio/mine",
    ]
    assert names[1] == names[0]


def test_kernels_can_be_pruned_with_a_word_for_those_of_one_bit(caplog):
    ternary = dense(kernel_quantizer="ste_tern")
    ternary.build((None, 3))
    (kernel,) = ternary.get_prunable_weights()
    assert kernel is ternary.kernel
    assert not caplog.text
    binary = dense(kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    binary.build((None, 3))
    assert binary.get_prunable_weights() == [binary.kernel]
    assert 'kernel_quantizer="ste_tern"' in caplog.text
    for layer in (lq.quantizers.SteSign(), lq.layers.RPReLU()):
        assert layer.get_prunable_weights() == []


def _negative_if_large(x):
    if tf.reduce_max(x) > 1:  # a branch on a tensor, which only autograph can read
        return -x
    return x


class _Branching(lq.quantizers.Quantizer):
    precision = 1

    def forward(self, x):
        return _negative_if_large(lq.math.sign(x) * 2)

    def derivative(self, x):
        return tf.abs(x) <= 1


class _BranchingLayer(lq.layers.QuantDense):
    def call_on_quantized(self, inputs):
        return _negative_if_large(super().call_on_quantized(inputs))


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (lq.layers.QuantDense, {"input_quantizer": _negative_if_large}),
        (lq.layers.QuantDense, {"kernel_quantizer": _Branching()}),
        (_BranchingLayer, {}),
    ],
)
def test_functions_of_ones_own_may_branch_on_tensors(cls, arguments):
    layer = cls(1, use_bias=False, **arguments)
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    layer.kernel.assign([[2.0]] * 3)
    found = model.predict(np.full((2, 3), 5.0, "float32"), verbose=0)
    np.testing.assert_array_equal(found, np.full((2, 1), -30.0))
