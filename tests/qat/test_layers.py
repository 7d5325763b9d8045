"""Every layer class of the table: near to float, at most 255 levels, trainable, copied."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.qat.schemes import RULES
from tests.common.eager import eagerly, quantize_model
from tests.common.samples import in_turn, sampled
from tests.qat.layer_cases import CASES, arrays, data_for, one, two

layers = tf_keras.layers
# Their output is a part of their input, whose range is known.
EXACT = {
    *("Flatten", "Identity", "Reshape", "Permute", "RepeatVector", "Masking"),
    *("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "CenterCrop"),
    *(name for name in CASES if name.startswith(("Cropping", "Spatial", "Random"))),
    *(name for name in CASES if "MaxPooling" in name or "ZeroPadding" in name),
    *("ActivityRegularization",),
}

WITH_WEIGHTS = (
    *("PReLU", "Attention", "AdditiveAttention", "MultiHeadAttention"),
    *("BatchNormalization", "SyncBatchNormalization", "LayerNormalization"),
    *("GroupNormalization", "Dense", "EinsumDense", "Embedding", "TimeDistributed"),
    *(name for name in CASES if "Conv" in name or "LocallyConnected" in name),
    *("SimpleRNN", "GRU", "LSTM", "Bidirectional"),
)


def test_there_is_a_case_for_every_class_of_the_table():
    assert {cls.__name__ for cls in RULES} <= set(CASES)


def differences(model, quantized, x) -> tuple[float, float]:
    """The largest difference of outputs, and the largest of the range of an output."""
    before = arrays(model(x if len(x) > 1 else x[0], training=False))
    after = arrays(quantized(x if len(x) > 1 else x[0], training=False))
    return (
        max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)),
        max(float(np.ptp(np.append(a, 0))) for a in before),
    )


def quantized_weights(model) -> list:
    """`(weight, per_axis)` of each quantized weight."""
    return [
        (weight, quantizer.per_axis)
        for layer in model.submodules
        if isinstance(layer, qat.QuantizeWrapperV2)
        for weight, quantizer, *_ in layer.weight_slots
    ]


@pytest.fixture
def eager():
    """Tracing a calibration takes longer than doing it; other tests trace."""
    with eagerly():
        yield


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", sampled(CASES, 3))
def test_calibrated_it_stays_near_to_float_and_the_given_model_is_not_changed(name):
    model = CASES[name]()
    x = data_for(model)
    weights, config = model.get_weights(), model.get_config()
    quantized = qat.quantize_model(model, calibrate=x)
    difference, extent = differences(model, quantized, x)
    # In steps of the output: some for the inputs, the kernels, and the output itself.
    # With three seeds, the largest seen of all cases was 5.0, the median 0.9.
    assert difference < 6 * extent / 255
    if name in EXACT:
        step = 3 / 255
        assert difference <= step / 2 * 1.01
    assert difference > 0 or name == "Embedding"
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.get_config() == config
    sources = sorted(w.shape.as_list() for w in model.trainable_weights)
    assert sorted(w.shape.as_list() for w in quantized.trainable_weights) == sources

    assert bool(sources) == (name in WITH_WEIGHTS)
    if name not in WITH_WEIGHTS:
        return
    # 16 bits are 256 times as fine.
    fine = qat.quantize_model(model, scheme="int16", calibrate=x)
    assert differences(model, fine, x)[0] <= max(difference / 60, 1e-6)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", sampled(WITH_WEIGHTS, 2))
def test_weights_have_255_levels_at_most_and_are_trained_to_the_last(name):
    model = CASES[name]()
    if name == "PReLU":
        model.layers[-1].alpha.assign(tf.random.normal(model.layers[-1].alpha.shape))
    x = data_for(model)
    quantized = qat.quantize_model(model, calibrate=x)
    for weight, per_axis in quantized_weights(quantized):
        latent = weight.latent_variable.numpy()
        with lq.context.quantized_scope(True):
            values = weight.numpy()
        axes = tuple(range(latent.ndim - per_axis))
        step = np.abs(latent).max(axes) / 127
        codes = values / np.maximum(step, 1e-9)
        assert np.abs(codes - np.round(codes)).max() < 1e-3
        assert np.abs(np.round(codes)).max() == 127
        assert np.all(np.abs(values - latent) <= step * 0.5001)
    rule = RULES.get(type(model.layers[-1]))
    if rule is not None and name != "AdditiveAttention":
        assert len(quantized_weights(quantized)) == len(rule.weights)
    with tf.GradientTape() as tape:
        outputs = quantized(x if len(x) > 1 else x[0], training=True)
        targets = tf.constant(np.random.default_rng(1).normal(size=outputs.shape))
        loss = tf.reduce_mean((outputs - tf.cast(targets, outputs.dtype)) ** 2)
    gradients = tape.gradient(loss, quantized.trainable_weights)
    for gradient, weight in zip(gradients, quantized.trainable_weights, strict=True):
        assert gradient is not None, weight.name
        if not weight.name.endswith(("key/bias:0",)):  # softmax takes no notice of it
            assert np.any(tf.convert_to_tensor(gradient)), weight.name


FITTED_IN_A_GRAPH = [("Dense", "mixed_bfloat16"), ("Conv2D", "mixed_float16")]


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *in_turn(
            ["Conv2D", "Dense", "MultiHeadAttention", "Add", "BatchNormalization"],
            ["mixed_float16", "mixed_bfloat16"],
        ),
        pytest.param("LSTM", "mixed_float16", marks=pytest.mark.slow),
        pytest.param("LSTM", "mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
def test_in_mixed_precision_variables_stay_float32_and_training_moves_them(
    name, policy
):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = CASES[name]()
        inner = model.layers[-1]
        x = data_for(model)
        quantized = quantize_model(model, calibrate=x)
        outputs = quantized(x if len(x) > 1 else x[0])
        assert outputs.dtype == inner.compute_dtype == policy.removeprefix("mixed_")
        floating = [w for w in quantized.weights if w.dtype.is_floating]
        assert {w.dtype for w in floating} == {tf.float32}
        difference, extent = differences(model, quantized, x)
        coarse = 2**-7 if "bfloat" in policy else 2**-10
        assert difference < (6 / 255 + 4 * coarse) * extent
        if quantized.trainable_weights:
            before = [w.numpy() for w in quantized.trainable_weights]
            is_eager = (name, policy) not in FITTED_IN_A_GRAPH
            quantized.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=is_eager)
            quantized.fit(
                x if len(x) > 1 else x[0], np.ones(outputs.shape, "f"), verbose=0
            )
            moved = [
                np.any(a != b.numpy())
                for a, b in zip(before, quantized.trainable_weights, strict=True)
            ]
            assert all(moved) or (name == "MultiHeadAttention" and sum(moved) >= 7)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", ["Flatten", "BatchNormalization"])
def test_channels_first_where_the_processor_can(name):
    options = {"axis": 1} if name == "BatchNormalization" else {}
    if name == "Flatten":
        options["data_format"] = "channels_first"
    model = one(getattr(layers, name)(**options), (3, 4, 5))
    x = data_for(model)
    quantized = quantize_model(model, calibrate=x[0])
    difference, extent = differences(model, quantized, x)
    assert 0 < difference < 2 * extent / 255


def test_a_channels_first_convolution_has_a_range_for_each_of_its_channels():
    model = one(layers.Conv2D(4, 3, data_format="channels_first"), (3, 6, 6))
    wrapper = qat.quantize_model(model).layers[-1]
    assert wrapper.output_shape == (None, 4, 4, 4)
    assert [w.shape for w in wrapper.weights if "kernel_m" in w.name] == [(4,), (4,)]


# Models of more than one layer.


def test_layers_that_do_not_train_stay_so():
    model = tf_keras.Sequential(
        [layers.Dense(4, input_shape=(3,), name="a"), layers.Dense(2, name="b")]
    )
    model.layers[0].trainable = False
    quantized = qat.quantize_model(model)
    assert [layer.trainable for layer in quantized.layers[1:]] == [False, True]
    names = [w.name for w in quantized.trainable_weights]
    assert names == ["quant_b/b/kernel:0", "quant_b/b/bias:0"] or len(names) == 2
    quantized.layers[1].trainable = True
    assert len(quantized.trainable_weights) == 4


def test_a_model_that_does_not_train_stays_so():
    model = tf_keras.Sequential([layers.Dense(4, input_shape=(3,))])
    model.trainable = False
    quantized = qat.quantize_model(model)
    assert quantized.trainable_weights == []


def test_regularizers_see_latent_weights_and_constraints_hold_them():
    dense = layers.Dense(
        5,
        input_shape=(3,),
        kernel_regularizer=tf_keras.regularizers.L2(0.5),
        bias_regularizer=tf_keras.regularizers.L1(0.25),
        activity_regularizer=tf_keras.regularizers.L2(0.125),
        kernel_constraint=tf_keras.constraints.MaxNorm(0.3),
        bias_initializer="ones",
    )
    x = data_for(one(layers.ReLU(), (3,)))[0]
    quantized = quantize_model(tf_keras.Sequential([dense]), calibrate=x)
    kernel = quantized.layers[-1].layer.kernel.numpy()
    with tf.GradientTape():
        outputs = quantized(x, training=False)
        losses = sorted(float(loss) for loss in quantized.losses)
    expected = [
        0.5 * (kernel**2).sum(),
        0.25 * 5,
        0.125 * (outputs.numpy() ** 2).sum() / len(x),
    ]
    np.testing.assert_allclose(losses, sorted(expected), rtol=1e-5)
    quantized.compile(tf_keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    quantized.fit(x, np.ones((len(x), 5)), verbose=0)
    norms = np.linalg.norm(quantized.layers[-1].layer.kernel.numpy(), axis=0)
    assert norms.max() <= 0.3 + 1e-6


@pytest.mark.usefixtures("eager")
def test_masks_pass_from_an_embedding_to_a_recurrent_layer():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.Dropout(0.0),
            layers.LSTM(3, return_sequences=True),
            layers.SimpleRNN(3),
        ]
    )
    x = np.array([[1, 2, 0, 0], [4, 0, 0, 0]])
    quantized = qat.quantize_model(model, scheme="int16", calibrate=x)
    found = quantized(x)
    np.testing.assert_allclose(found, model(x), atol=2e-3)
    # What is masked has no influence.
    np.testing.assert_allclose(found, quantized(x[:, :2]), atol=1e-6)


@pytest.mark.usefixtures("eager")
def test_a_mask_of_attention_is_obeyed():
    query, mask = tf_keras.Input((4, 6)), tf_keras.Input((4, 4), dtype="bool")
    outputs = layers.MultiHeadAttention(2, 3)(query, query, attention_mask=mask)
    model = tf_keras.Model([query, mask], outputs)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    only_self = np.broadcast_to(np.eye(4, dtype=bool), (2, 4, 4))
    quantized = qat.quantize_model(model, scheme="int16", calibrate=[([x, only_self],)])
    np.testing.assert_allclose(
        quantized([x, only_self]), model([x, only_self]), atol=3e-3
    )
    everything = np.ones((2, 4, 4), bool)
    assert np.abs(quantized([x, only_self]) - quantized([x, everything])).max() > 0.02


def test_models_with_names_for_inputs_and_outputs_keep_them():
    a, b = tf_keras.Input((4,), name="a"), tf_keras.Input((4,), name="b")
    joint = layers.Concatenate()([layers.Dense(3)(a), layers.Dense(3)(b)])
    model = tf_keras.Model(
        {"first": a, "second": b}, {"joint": joint, "top": layers.Dense(2)(joint)}
    )
    rng = np.random.default_rng(0)
    x = {k: rng.normal(size=(8, 4)).astype("float32") for k in ("first", "second")}
    quantized = quantize_model(model, calibrate=x)
    before, after = model(x), quantized(x)
    assert list(after) == list(before) == ["joint", "top"]
    for key, value in before.items():
        step = np.ptp(value) / 255
        assert 0 < np.abs(value - after[key]).max() < 6 * step
    quantized.compile("sgd", {"joint": "mse", "top": "mse"}, run_eagerly=True)
    history = quantized.fit(
        x, {"joint": np.ones((8, 6)), "top": np.ones((8, 2))}, verbose=0
    )
    # Keras names losses by the layers.
    names = [f"{layer.name}_loss" for layer in quantized.layers[-2:]]
    assert list(history.history) == ["loss", *names]


def test_a_shared_layer_has_one_kernel_and_one_range():
    inputs = tf_keras.Input((4,))
    dense = layers.Dense(4, name="shared")
    model = tf_keras.Model(inputs, dense(dense(inputs)))
    x = data_for(model)[0]
    quantized = quantize_model(model, calibrate=x)
    assert len(quantized.trainable_weights) == 2
    (wrapper,) = [part for part in quantized.layers if "shared" in part.name]
    assert len(wrapper.inbound_nodes) == 2
    difference, extent = differences(model, quantized, [x])
    assert 0 < difference < 10 * extent / 255


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("depth", [1, 2])
def test_nested_models_are_quantized_within_and_shared_ones_once(depth):
    inner = tf_keras.Sequential(
        [layers.Conv2D(4, 3, input_shape=(6, 6, 3), name="conv"), layers.ReLU()],
        name="inner",
    )
    for level in range(depth - 1):
        inputs = tf_keras.Input((6, 6, 3))
        inner = tf_keras.Model(inputs, inner(inputs), name=f"inner_{level}")
    inputs = tf_keras.Input((6, 6, 3))
    joint = layers.Add()([inner(inputs), inner(-inputs)])
    model = tf_keras.Model(inputs, layers.Dense(2)(joint))
    x = data_for(model)[0]
    quantized = qat.quantize_model(model, calibrate=x)
    kernels = [w for w, _ in quantized_weights(quantized)]
    assert len(kernels) == 2
    # One quantization of the input, none inside.
    kinds = [type(part).__name__ for part in quantized.submodules]
    assert kinds.count("QuantizeLayer") == 2  # of the input, and of its negative
    difference, extent = differences(model, quantized, [x])
    assert 0 < difference < 8 * extent / 255


@pytest.mark.usefixtures("eager")
def test_states_go_from_one_recurrent_layer_into_another():
    inputs = tf_keras.Input((5, 3))
    _, h, c = layers.LSTM(4, return_state=True)(inputs)
    outputs = layers.LSTM(4)(inputs, initial_state=[h, c])
    model = tf_keras.Model(inputs, [outputs, h])
    x = data_for(model)[0]
    quantized = qat.quantize_model(model, scheme="int16", calibrate=x)
    for before, after in zip(model(x), quantized(x), strict=True):
        np.testing.assert_allclose(after, before, atol=2e-3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(quantized(x, training=True)[0])
    gradients = tape.gradient(loss, quantized.trainable_weights)
    assert all(np.any(gradient) for gradient in gradients)


def test_operators_and_layers_of_the_same_sum_agree():
    by_layer = two(layers.Add())
    a, b = tf_keras.Input((5,)), tf_keras.Input((5,))
    by_operator = tf_keras.Model([a, b], a + b)
    x = data_for(by_layer)
    results = []
    for model in (by_layer, by_operator):
        quantized = quantize_model(model, calibrate=x)
        results.append(quantized(x).numpy())
    np.testing.assert_array_equal(*results)
    assert len(np.unique(results[0])) <= 256


def test_no_lambda_layer_is_made():
    for name in ("SeparableConv1D", "SeparableConv2D", "TimeDistributed"):
        quantized = qat.quantize_model(CASES[name]())
        assert not any(isinstance(p, layers.Lambda) for p in quantized.submodules)
