"""larqlite's quantizers in the place of QAT ones, what names a quantizer, and files."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.qat import quantizers
from larqlite.qat.quantizers import NamedQuantizer, Quantizer
from larqlite.qat.quantizers.internal import invoke
from tests.common.samples import in_turn

RANGES = ("LastValueQuantizer", "MovingAverageQuantizer", "AllValuesQuantizer")


@lq._registration.register_object("TestQuantized", package="test")
class Quantized(tf_keras.layers.Layer):
    """A layer whose input is quantized."""

    def __init__(self, quantizer, **kwargs):
        super().__init__(**kwargs)
        self.quantizer_identifier = quantizer

    def build(self, input_shape):
        self.quantizer_of_input = quantizers.get(self.quantizer_identifier)
        self.state = self.quantizer_of_input.build(input_shape, "x", self)
        super().build(input_shape)

    def call(self, x, training=None):
        return invoke(
            self.quantizer_of_input, x, training=training, weights=self.state, step=0
        )

    def get_config(self):
        config = quantizers.get(self.quantizer_identifier)
        serialized = tf_keras.saving.serialize_keras_object(config)
        return {**super().get_config(), "quantizer": serialized}


@pytest.mark.parametrize("name", lq.quantizers.names())
def test_every_quantizer_of_larqlite_serves_by_name(name):
    x = tf.random.normal((3, 4))
    quantizer = quantizers.get(name)
    layer = tf_keras.layers.Layer()
    weights = quantizer.build(tf.TensorShape((None, 4)), "x", layer)
    own = lq.quantizers.get(name)
    values = []
    for function in (
        lambda x: invoke(quantizer, x, training=True, weights=weights),
        own,
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        values.append((y.numpy(), tape.gradient(y, x).numpy()))
    np.testing.assert_array_equal(values[0][0], values[1][0])
    np.testing.assert_array_equal(values[0][1], values[1][1])
    assert quantizer.precision == own.precision
    assert len(layer.weights) == len(getattr(own, "weights", []))
    copied = type(quantizer).from_config(quantizer.get_config())
    assert copied == quantizer
    assert hash(copied) == hash(quantizer)


def test_arguments_go_to_the_quantizer_that_is_named():
    assert NamedQuantizer("dorefa", k_bit=5).precision == 5
    assert NamedQuantizer("ste_sign") != NamedQuantizer("ste_sign", clip_value=0.5)
    with pytest.raises(lq.errors.QuantizerError, match=r"DoReFa.*bits"):
        NamedQuantizer("dorefa", bits=3)
    with pytest.raises(lq.errors.ArgumentError, match="clip_value"):
        NamedQuantizer(lq.quantizers.SteSign(), clip_value=2.0)


def test_one_instance_for_two_tensors_gets_two_states():
    shared = NamedQuantizer("rsign")
    layer = tf_keras.layers.Layer()
    first = shared.build(tf.TensorShape((None, 2)), "first", layer)
    second = shared.build(tf.TensorShape((None, 3)), "second", layer)
    assert [w.shape.as_list() for w in layer.trainable_weights] == [[2], [3]]
    assert len({w.name for w in layer.weights}) == 2
    first["quantizer"].threshold.assign([0.0, 9.0])
    np.testing.assert_array_equal(shared(tf.ones((1, 2)), False, first), [[1, -1]])
    np.testing.assert_array_equal(shared(tf.ones((1, 3)), False, second), [[1, 1, 1]])


@pytest.mark.parametrize(
    ("quantizer", "file_format"),
    in_turn(
        [*RANGES, "rsign", lq.quantizers.AdaBinActivations, "ste_sign"], ["keras", "h5"]
    ),
)
def test_state_trains_and_survives_a_file(quantizer, file_format, tmp_path):
    if quantizer is lq.quantizers.AdaBinActivations:
        quantizer = quantizer()
    model = tf_keras.Sequential(
        [tf_keras.Input((4,)), Quantized(quantizer, name="q"), tf_keras.layers.Dense(2)]
    )
    model.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(8, 4)), np.ones((8, 2))
    before = model.layers[0].get_weights()
    model.fit(x, y, verbose=0, epochs=2)
    after = model.layers[0].get_weights()
    assert quantizer == "ste_sign" or any(
        (a != b).any() for a, b in zip(after, before, strict=True)
    )
    path = tmp_path / f"model.{file_format}"
    model.save(path)
    loaded = tf_keras.models.load_model(path)
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


def test_what_is_learned_of_a_weight_starts_from_its_values():
    weight, owner = tf.Variable([[1.0, -2.0], [-4.0, 0.5]]), tf_keras.layers.Layer()
    quantizer = quantizers.get("seq")
    variables = quantizer.build(weight.shape, "kernel", owner)
    quantizer.capture(weight, variables)
    np.testing.assert_array_equal(variables["quantizer"].scale, [4, 2])


@pytest.mark.parametrize("name", [*RANGES, "FixedQuantizer"])
def test_every_range_quantizer_is_found_by_name_class_and_configuration(name):
    cls = getattr(quantizers, name)
    made = cls(num_bits=3, narrow_range=True)
    written = json.loads(json.dumps(tf_keras.saving.serialize_keras_object(made)))
    legacy = {"class_name": name, "config": made.get_config()}
    assert written["registered_name"] == f"larqlite>{name}"
    assert quantizers.get(written) == quantizers.get(legacy) == made
    assert tf_keras.saving.deserialize_keras_object(written) == made
    assert quantizers.get(name) == quantizers.get(cls) == cls()
    assert quantizers.get(made) is made
    assert made != cls()
    assert len({made, cls(num_bits=3, narrow_range=True), cls()}) == 2


def test_equality_needs_the_same_class():
    last = quantizers.LastValueQuantizer(symmetric=False)
    average = quantizers.MovingAverageQuantizer(symmetric=False)
    assert last.get_config() == average.get_config()
    assert last != average


def test_none_is_no_quantizer():
    assert quantizers.get(None) is None
    with pytest.raises(lq.errors.UnknownQuantizerError, match="None is no quantizer"):
        NamedQuantizer(None)


def test_a_serialized_quantizer_of_larqlite_is_wrapped():
    config = lq.quantizers.serialize(lq.quantizers.DoReFa(3))
    assert quantizers.get(config) == NamedQuantizer("dorefa", k_bit=3)
    assert quantizers.get(lq.quantizers.ste_sign).precision == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [("ste_sing", "ste_sign"), ("LastValueQuantiser", "LastValueQuantizer")],
)
def test_a_misspelt_name_is_answered_with_the_right_one(name, meant):
    with pytest.raises(
        lq.errors.UnknownQuantizerError, match=f'Did you mean "{meant}"'
    ):
        quantizers.get(name)


@pytest.mark.parametrize(
    "identifier", [3, object(), {"class_name": "Nothing", "config": {}}]
)
def test_what_is_no_quantizer_is_refused(identifier):
    with pytest.raises(lq.errors.UnknownQuantizerError):
        quantizers.get(identifier)


def test_a_class_that_needs_arguments_says_so():
    class Needy(Quantizer):
        def __init__(self, width):
            self.width = width

    with pytest.raises(lq.errors.QuantizerError, match=r"Needy.*width"):
        quantizers.get(Needy)


ON_REPLICAS = """
    import json
    import numpy as np
    import tensorflow as tf
    import larqlite as lq
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    import tf_keras
    from larqlite.qat.quantizers import _calibration
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    batches = np.random.default_rng(0).normal(size=(3, 2, 4)).astype("float32")
    report = {}
    for name in ("LastValueQuantizer", "MovingAverageQuantizer", "AllValuesQuantizer"):
        for how in ("bool", "tensor", "calibrated"):
            with strategy.scope():
                layer = tf_keras.layers.Layer()
                quantizer = getattr(lq.qat.quantizers, name)(symmetric=False)
                weights = quantizer.build(tf.TensorShape((4,)), "x", layer)

            @tf.function
            def step(batch, training, count):
                def replica():
                    index = tf.distribute.get_replica_context().replica_id_in_sync_group
                    flag = True if how == "bool" else training
                    if how == "calibrated":
                        with _calibration.calibrating(count, 1, "moving_average"):
                            return quantizer(batch[index][None], False, weights)
                    return quantizer(batch[index], flag, weights)
                return strategy.run(replica)

            for count, batch in enumerate(batches):
                step(tf.constant(batch), tf.constant(True), tf.constant(count))
            report[f"{name} {how}"] = [float(v.numpy()) for v in layer.weights]
            saved = layer.get_weights()
            layer.set_weights(saved)
            assert layer.get_weights() == saved
    print(json.dumps({"batches": batches.tolist(), "found": report}))
"""


@pytest.mark.slow
def test_two_replicas_store_the_mean_of_their_ranges(run_fork):
    report = json.loads(run_fork(ON_REPLICAS).strip().splitlines()[-1])
    batches = np.array(report["batches"])  # step, replica, values
    low, high = np.minimum(batches.min(2), 0), np.maximum(batches.max(2), 0)

    def averaged(start, ends):
        for end in ends:
            start = start - 0.001 * (start - end)
        return start

    expected = {
        "LastValueQuantizer": (low[-1], high[-1]),
        "MovingAverageQuantizer": (averaged(-6, low), averaged(6, high)),
        "AllValuesQuantizer": (low.min(0), high.max(0)),
    }
    expected = {n: [v.mean() for v in ends] for n, ends in expected.items()}
    for found, ends in report["found"].items():
        name, how = found.split()
        if how == "calibrated" and name == "MovingAverageQuantizer":
            expected_ends = [low.mean(), high.mean()]
        elif how == "calibrated":
            expected_ends = expected["AllValuesQuantizer"]
        else:
            expected_ends = expected[name]
        np.testing.assert_allclose(ends, expected_ends, rtol=1e-5, err_msg=found)
    assert len(report["found"]) == 9
