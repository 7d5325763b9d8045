"""Random functional models: nested, shared, with several inputs and outputs, and operators.

Every tensor has a few numbers for each sample, so that any of them can go anywhere.
"""

import functools

import numpy as np
import tensorflow as tf
import tf_keras

K = tf_keras.layers
WIDTH = 4


@functools.cache
def random_model(seed, depth=2):
    """A model to be read, with random weights, whose tensors are all of the shape `(None, 4)`.

    Args:
        seed: of what it is made of.
        depth: how deep models lie in models.
    """
    tf_keras.utils.set_random_seed(seed)
    return _Maker(np.random.default_rng(seed)).model(depth)


def random_inputs(model, seed, samples=3):
    """A list of arrays, one for each input."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(samples, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


class _Maker:
    def __init__(self, rng):
        self.rng = rng
        self.layers = []  # any of these may be called again
        self.models = []

    def model(self, depth):
        """A new model; the names of its inputs are not in their order."""
        tensors = [tf_keras.Input((WIDTH,)) for _ in range(self.rng.integers(1, 4))]
        given = self.structure(tensors)
        for _ in range(self.rng.integers(3, 8)):
            tensors += self.step(tensors, depth)
        wanted = [self.one(tensors) for _ in range(self.rng.integers(1, 4))]
        return tf_keras.Model(given, self.structure([tensors[-1], *wanted]))

    def structure(self, tensors):
        """Some tensors as Keras takes them: one, a list, or a dictionary.

        The keys are in the opposite order of the names that the layers have.
        """
        kind = self.rng.integers(3)
        if kind == 0 and len(tensors) == 1:
            return tensors[0]
        if kind == 1:
            return list(tensors)
        return {f"key_{9 - i}": tensor for i, tensor in enumerate(tensors)}

    def one(self, tensors):
        return tensors[self.rng.integers(len(tensors))]

    def step(self, tensors, depth):
        """What comes out of one more call."""
        kinds = (self.dense, self.merge, self.operator, self.branches, self.moody)
        if depth:
            kinds += (self.nested, self.nested)
        return kinds[self.rng.integers(len(kinds))](tensors, depth)

    def dense(self, tensors, depth):
        """A layer, new or shared."""
        if not self.layers or self.rng.integers(2):
            self.layers.append(K.Dense(WIDTH, activation="tanh"))
        return [self.one(self.layers)(self.one(tensors))]

    def merge(self, tensors, depth):
        kind = (K.Add, K.Multiply, K.Maximum)[self.rng.integers(3)]
        return [kind()([self.one(tensors), self.one(tensors)])]

    def operator(self, tensors, depth):
        x, y = self.one(tensors), self.one(tensors)
        made = (
            lambda: x + 2.0 * y,
            lambda: tf.concat(values=[x[:, :1], y[:, 1:]], axis=-1),
            lambda: tf.reverse(tf.stack([x, y], axis=1), [-1])[:, 0],
            lambda: 1.0 - x,
        )
        return [made[self.rng.integers(len(made))]()]

    def branches(self, tensors, depth):
        """An operator with several outputs."""
        first, second = tf.split(self.one(tensors), 2, axis=-1)
        return [tf.concat([second, first], -1)]

    def moody(self, tensors, depth):
        """A layer that does something else in training, at times whatever the phase."""
        always = (
            {} if self.rng.integers(2) else {"training": bool(self.rng.integers(2))}
        )
        return [K.BatchNormalization()(self.one(tensors), **always)]

    def nested(self, tensors, depth):
        """A model inside, new or shared."""
        if not self.models or self.rng.integers(2):
            self.models.append(self.model(depth - 1))
        model = self.one(self.models)
        given = [self.one(tensors) for _ in model.inputs]
        named = dict(zip(model.input_names, given, strict=True))
        if isinstance(model.input, dict):
            given = dict(zip(model.input, given, strict=True))
        elif self.rng.integers(2):
            # By name, in an order that is not that of the inputs.
            given = {name: named[name] for name in sorted(named, reverse=True)}
        elif len(given) == 1 and not isinstance(model.input, list):
            (given,) = given
        return tf.nest.flatten(model(given))
