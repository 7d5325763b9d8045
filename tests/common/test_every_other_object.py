"""Optimizers, metrics, constraints, regularizers: configs, strings, copies, files; coverage."""

import copy
import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common import cases
from tests.common.samples import in_turn


def binary_kernel(variable):
    return lq.optimizers.Bop.is_binary_variable(variable)


OPTIMIZERS = {
    "Bop": lambda: lq.optimizers.Bop(threshold=1e-7, gamma=1e-3),
    "Bop2ndOrder": lambda: lq.optimizers.Bop2ndOrder(
        threshold=0.1, gamma=0.1, sigma=0.2, unbiased=True
    ),
    "CaseOptimizer": lambda: lq.optimizers.CaseOptimizer(
        (binary_kernel, lq.optimizers.Bop(1e-7)),
        default_optimizer=tf_keras.optimizers.Adam(0.01),
    ),
}
METRICS = {"FlipRatio": {"values_dtype": "int16", "name": "flips"}}
CONSTRAINTS = {"WeightClip": {"clip_value": 0.5}}
REGULARIZERS = {"Kurtosis": {"factor": 0.5, "target": 2.0}}


def bop_model():
    return tf_keras.Sequential(
        [
            tf_keras.Input((4,)),
            lq.layers.QuantDense(
                3, kernel_quantizer=lq.quantizers.NoOp(1), use_bias=False
            ),
            tf_keras.layers.Dense(2),
        ]
    )


DATA = np.random.default_rng(4).normal(size=(8, 4)).astype("float32")
LABELS = np.random.default_rng(5).normal(size=(8, 2)).astype("float32")


def test_every_public_class_is_run_by_one_of_these_suites():
    covered = {
        "quantizers": {*cases.QUANTIZERS, "Quantizer", "DoReFaQuantizer"}
        | {"NoOpQuantizer"},
        "layers": {*cases.LAYERS, *cases.ACTIVATION_LAYERS, "QuantLayer"},
        "optimizers": set(OPTIMIZERS),
        "metrics": set(METRICS),
        "constraints": {*CONSTRAINTS, "weight_clip"},
        "regularizers": set(REGULARIZERS),
    }
    for module, names in covered.items():
        public = getattr(lq, module)
        classes = {n for n in public.__all__ if inspect.isclass(getattr(public, n))}
        assert classes == names


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_config_makes_an_equal_one(name):
    optimizer = OPTIMIZERS[name]()
    again = type(optimizer).from_config(optimizer.get_config())
    assert cases.same_config(again.get_config(), optimizer.get_config())
    config = tf_keras.optimizers.serialize(optimizer)
    assert config["registered_name"] == f"larqlite>{name}"
    restored = tf_keras.optimizers.deserialize(config)
    assert cases.same_config(restored.get_config(), optimizer.get_config())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fit_and_a_hand_written_loop_take_equal_steps(name):
    model = bop_model()
    if name != "CaseOptimizer":
        model = tf_keras.Sequential(
            [tf_keras.Input((4,)), copy.deepcopy(model.layers[0])]
        )
    labels = LABELS if name == "CaseOptimizer" else DATA[:, :3]
    twin = tf_keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    model.compile(OPTIMIZERS[name](), "mse")
    model.fit(DATA, labels, epochs=4, batch_size=8, shuffle=False, verbose=0)
    optimizer = OPTIMIZERS[name]()
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((labels - twin(DATA, training=True)) ** 2)
        gradients = tape.gradient(loss, twin.trainable_variables)
        optimizer.apply_gradients(zip(gradients, twin.trainable_variables, strict=True))
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "jit"), in_turn(["mixed_float16", "mixed_bfloat16"], [False, True])
)
def test_the_case_optimizer_trains_in_mixed_precision_and_compiled(policy, jit):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = bop_model()
        before = model.get_weights()
        model.compile(OPTIMIZERS["CaseOptimizer"](), "mse", jit_compile=jit)
        model.fit(DATA, LABELS, epochs=2, batch_size=8, verbose=0)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    binary, *rest = model.get_weights()
    assert set(np.unique(binary)) <= {-1.0, 1.0}
    assert all(not np.array_equal(a, b) for a, b in zip(rest, before[1:], strict=True))


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_config_makes_an_equal_one(name):
    metric = getattr(lq.metrics, name)(**METRICS[name])
    config = tf_keras.metrics.serialize(metric)
    assert config["registered_name"] == f"larqlite>{name}"
    again = tf_keras.metrics.deserialize(config)
    assert cases.same_config(again.get_config(), metric.get_config())


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraints_config_makes_an_equal_one_in_plain_layers_too(name, tmp_path):
    constraint = getattr(lq.constraints, name)(**CONSTRAINTS[name])
    for ending in (".keras", ".h5", ""):
        layer = tf_keras.layers.Dense(2, kernel_constraint=constraint)
        model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
        model.save(tmp_path / f"model{ending}")
        again = tf_keras.models.load_model(tmp_path / f"model{ending}")
        restored = again.layers[0].kernel_constraint
        assert type(restored) is type(constraint)
        assert restored.get_config() == CONSTRAINTS[name]
    for string in (name, "weight_clip"):
        resolved = tf_keras.constraints.get(string)
        assert isinstance(resolved, lq.constraints.WeightClip)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_regularizers_config_makes_an_equal_one_in_plain_layers_too(name, tmp_path):
    regularizer = getattr(lq.regularizers, name)(**REGULARIZERS[name])
    layer = tf_keras.layers.Dense(2, kernel_regularizer=regularizer)
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        again = tf_keras.models.load_model(tmp_path / f"model{ending}")
        restored = again.layers[0].kernel_regularizer
        assert type(restored) is type(regularizer)
        assert restored.get_config() == REGULARIZERS[name]


def test_a_regularizer_by_its_name_is_that_of_the_defaults(tmp_path):
    layer = tf_keras.layers.Dense(2, kernel_regularizer="kurtosis")
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    expected = lq.regularizers.Kurtosis()(layer.kernel)
    np.testing.assert_array_equal(model.losses, [expected])
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
        again = tf_keras.models.load_model(tmp_path / f"model{ending}")
        np.testing.assert_array_equal(again.losses, [expected])


def test_the_kurtosis_and_its_gradient_are_those_of_the_formula():
    w = np.random.default_rng(0).normal(1, 2, (4, 5))
    by_hand = (((w - w.mean()) / w.std()) ** 4).mean()
    regularizer = lq.regularizers.Kurtosis(0.25)
    loss = regularizer(tf.constant(w))
    np.testing.assert_allclose(loss, 0.25 * (by_hand - 1.8) ** 2)
    step = np.zeros_like(w)
    step[1, 2] = 1e-6
    slope = float(regularizer(w + step) - regularizer(w - step)) / 2e-6
    variable = tf.Variable(w)
    with tf.GradientTape() as tape:
        loss = regularizer(variable)
    np.testing.assert_allclose(tape.gradient(loss, variable)[1, 2], slope, rtol=1e-5)
    constant = tf.Variable([2.0, 2.0])
    with tf.GradientTape() as tape:
        loss = regularizer(constant)
    assert tape.gradient(loss, constant).numpy().tolist() == [0, 0]
    half = regularizer(tf.constant(w, "float16"))
    assert half.dtype == "float16"
    for arguments in ({"factor": -1}, {"target": 0.5}, {"factor": "1"}):
        with pytest.raises(lq.errors.ArgumentError, match=r"is no number.*\n.*Fix"):
            lq.regularizers.Kurtosis(**arguments)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_clipped_weight_keeps_its_dtype_and_nan(dtype):
    w = tf.constant([-3.0, 0.25, 2.0, np.nan], dtype)
    clipped = lq.constraints.WeightClip(0.5)(w)
    assert clipped.dtype == dtype
    np.testing.assert_array_equal(
        tf.cast(clipped, "float32"), np.array([-0.5, 0.25, 0.5, np.nan], "float32")
    )


@pytest.mark.parametrize("value", [-1, 0, "one", None, float("inf"), True])
def test_a_bound_that_is_no_number_above_zero_is_refused(value):
    with pytest.raises(lq.errors.ArgumentError, match=r"clip_value=.*\n.*Fix"):
        lq.constraints.WeightClip(value)


@pytest.mark.parametrize("activation", ["hard_tanh", "leaky_tanh"])
def test_activations_resolve_and_reload_in_every_format(activation, tmp_path):
    x = np.linspace(-3, 3, 12, dtype="float32").reshape(4, 3)
    by_hand = np.clip(x, -1, 1)
    if activation == "leaky_tanh":
        by_hand += 0.2 * (np.maximum(x, 1) - 1) + 0.2 * (np.minimum(x, -1) + 1)
    layer = tf_keras.layers.Activation(activation)
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    np.testing.assert_allclose(model(x), by_hand, rtol=1e-6)
    for ending in (".keras", ".h5", ""):
        model.save(tmp_path / f"model{ending}")
        again = tf_keras.models.load_model(tmp_path / f"model{ending}")
        np.testing.assert_allclose(again(x), by_hand, rtol=1e-6)


@pytest.mark.parametrize(
    ("default", "ending"),
    in_turn(["Lion", "Adafactor", "legacy.Adam"], [".keras", ".h5"]),
)
def test_any_optimizer_of_keras_reloads_inside_of_a_case_optimizer(
    default, ending, tmp_path
):
    make = tf_keras.optimizers
    for part in default.split("."):
        make = getattr(make, part)
    model = bop_model()
    optimizer = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
        default_optimizer=make(0.01),
    )
    model.compile(optimizer, "mse", run_eagerly=True)
    model.fit(DATA, LABELS, verbose=0)
    model.save(tmp_path / f"model{ending}")
    again = tf_keras.models.load_model(tmp_path / f"model{ending}")
    assert type(again.optimizer.optimizers[-1]) is make
    again.run_eagerly = True
    for either in (model, again):
        either.fit(DATA, LABELS, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_averages_of_binary_weights_are_refused():
    with pytest.raises(lq.errors.ArgumentError, match="use_ema"):
        lq.optimizers.Bop(use_ema=True)
