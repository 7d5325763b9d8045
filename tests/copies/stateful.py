"""Models whose layers hold state that is no weight, or weights that a class hides."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

L = tf_keras.layers
RNG = np.random.default_rng(3)
NUMBERS = RNG.normal([5, -3, 100], [2, 1, 30], (32, 3)).astype("float32")
CODES = RNG.choice([3, 5, 9, 11], (32, 3)).astype("int64")
WORDS = np.array([["a b", "c", "b b a"], ["c a", "a", "d"]] * 16)


@tf_keras.saving.register_keras_serializable("tests_copies")
class Scaled(L.Layer):
    """Learns numbers, an array, an object, and a table, and has them in attributes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factor = 1.0
        self.mean = np.zeros(3, "float32")
        self.notes = {"bounds": [0, 0]}
        self.scaler = Scaler(1.0)
        self.function = tf.identity
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
        self.shift = tf.Variable([0.0], trainable=False, name="shift")
        self.also = [tf.Variable(0.0, trainable=False, name="also")]

    def adapt(self, data):
        self.factor = float(np.std(data))
        self.mean = np.mean(data, 0)
        self.notes["bounds"][1] = int(np.max(data))
        self.scaler.width = np.ptp(data, 0)
        self.function = tf.tanh
        self.table.insert(tf.constant([0], tf.int64), tf.constant([2.5]))
        self.shift.assign([7.0])
        self.also[0].assign(-2.0)

    def call(self, x):
        x = (x - self.mean) / self.factor + self.notes["bounds"][1]
        x = self.function(self.scaler(x))
        looked_up = self.table.lookup(tf.zeros((1,), tf.int64))
        return tf.ensure_shape(x + self.shift + self.also[0] + looked_up, (None, 3))


class Scaler:
    """An object of the user's own."""

    def __init__(self, width):
        self.width = width
        self.itself = self

    def __call__(self, x):
        return x / self.width


@tf_keras.saving.register_keras_serializable("tests_copies")
class Projection(L.Layer):
    """Random numbers that each object draws anew, and a table that never changes."""

    def build(self, shape):
        self.kernel = tf.random.normal((shape[-1], 3))
        keys, values = tf.constant([0, 1]), tf.random.normal((2,))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, values), 0.0
        )
        super().build(shape)

    def call(self, x):
        added = self.table.lookup(tf.constant([1]))
        return tf.ensure_shape(x @ self.kernel + added, (None, 3))


@tf_keras.saving.register_keras_serializable("tests_copies")
class Pair(L.Layer):
    """Two layers of equal shape, of which one is frozen: `weights` has another order."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = L.Dense(3), L.Dense(3)

    def call(self, x):
        return self.second(self.first(x))


def _chain(*layers, of=NUMBERS, batch=None):
    dtype = "string" if of.dtype.kind == "U" else of.dtype
    x = tf_keras.Input(of.shape[1:], batch_size=batch, dtype=dtype)
    y = x
    for layer in layers:
        y = layer(y)
    y = L.Rescaling(1.0)(y)  # floats
    return tf_keras.Model(x, L.Dense(2, name="last")(L.Flatten()(y))), of


def normalization(**how):
    layer = L.Normalization(**how)
    layer.adapt(NUMBERS)
    return _chain(layer)


def normalization_with_weights():
    model, x = _chain(L.Normalization())
    values = model.get_weights()
    model.set_weights([np.float32([1, 2, 3]), np.float32([4, 1, 9]), *values[2:]])
    return model, x


def adapted(layer, data, of=None):
    layer.adapt(data)
    return _chain(layer, of=data if of is None else of)


def words(layer):
    layer.adapt(WORDS[:, 0])
    return _chain(layer, of=WORDS[:, :1])


def users_own():
    layer = Scaled()
    model, x = _chain(layer)
    layer.adapt(NUMBERS)
    return model, x


def frozen_part():
    model, x = _chain(Pair())
    model.layers[1].first.trainable = False
    return model, x


def statistics():
    model, x = _chain(L.BatchNormalization(), L.Dense(3))
    model(x, training=True)
    return model, x


def nested(depth):
    model, x = normalization()
    for level in range(depth):
        inputs = tf_keras.Input(model.input_shape[1:])
        outputs = L.Dense(2, name=f"end_{level}")(model(inputs))
        model = tf_keras.Model(inputs, outputs, name=f"around_{level}")
    return model, x


def bins_one_hot():
    layer = L.Discretization(num_bins=4, output_mode="one_hot")
    layer.adapt(NUMBERS[:, :1])
    return _chain(layer, L.Dense(2), of=NUMBERS[:, :1])


def in_a_sequential():
    layer = L.Normalization()
    layer.adapt(NUMBERS)
    inner = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    return tf_keras.Sequential([inner, L.Dense(2, name="last")]), NUMBERS


def in_time():
    steps = np.stack([NUMBERS, 2 * NUMBERS], 1)
    layer = L.Normalization()
    layer.adapt(NUMBERS)
    inner = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    return _chain(L.TimeDistributed(inner), of=steps)


MODELS = {
    "normalization": normalization,
    "normalization_of_all": lambda: normalization(axis=None),
    "normalization_inverse": lambda: normalization(invert=True),
    "normalization_with_weights": normalization_with_weights,
    "discretization": lambda: adapted(L.Discretization(num_bins=4), NUMBERS),
    "discretization_one_hot": bins_one_hot,
    "integer_lookup": lambda: adapted(L.IntegerLookup(), CODES),
    "string_lookup": lambda: adapted(L.StringLookup(), WORDS),
    "text": lambda: words(L.TextVectorization(output_sequence_length=4)),
    "text_counts": lambda: words(L.TextVectorization(output_mode="tf_idf")),
    "given_vocabulary": lambda: _chain(L.IntegerLookup(vocabulary=[3, 5]), of=CODES),
    "hashing": lambda: _chain(L.Hashing(5, salt=3), of=WORDS),
    "category": lambda: _chain(L.CategoryEncoding(12, "multi_hot"), of=CODES),
    "own_attributes": users_own,
    "own_random_numbers": lambda: _chain(Projection()),
    "frozen_part": frozen_part,
    "statistics": statistics,
    "nested": lambda: nested(1),
    "nested_in_nested": lambda: nested(2),
    "in_a_sequential": in_a_sequential,
    "in_time": in_time,
}
