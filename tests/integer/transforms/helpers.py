"""What the tests of transforms share: random weights, and a check of equivalence."""

import numpy as np
import tensorflow as tf
import tf_keras

layers = tf_keras.layers
RNG = np.random.default_rng(11)


def randomized(model):
    """The model with weights that are not those that training starts from."""
    for layer in model.submodules:
        if isinstance(layer, layers.BatchNormalization):
            for name, low, high in (
                ("gamma", 0.5, 1.5),
                ("beta", -1, 1),
                ("moving_mean", -1, 1),
                ("moving_variance", 0.5, 2),
            ):
                weight = getattr(layer, name)
                if weight is not None:
                    weight.assign(RNG.uniform(low, high, weight.shape))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(RNG.normal(size=layer.bias.shape))
    return model


def inputs_of(model, batch=3):
    """Random images (or whatever it takes) for a model of one or several inputs."""
    found = [
        RNG.normal(size=(batch, *(n or 6 for n in t.shape[1:]))).astype("float32")
        for t in model.inputs
    ]
    return found[0] if len(found) == 1 else found


def kinds(model):
    """The class names of a model's layers."""
    return [
        type(layer).__name__
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    ]


def check_equal(before, after, tolerance=1e-5, x=None):
    """Both compute the same, and the first has still the weights that it had."""
    x = inputs_of(before) if x is None else x
    expected = [np.asarray(t) for t in tf.nest.flatten(before(x, training=False))]
    found = [np.asarray(t) for t in tf.nest.flatten(after(x, training=False))]
    for a, b in zip(expected, found, strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(a).max()))
        np.testing.assert_allclose(b / scale, a / scale, rtol=0, atol=tolerance)


def transformed(transform, model):
    """The transformed model, after a check that it is another one and equivalent."""
    kept = [w.numpy().copy() for w in model.weights]
    configs = configs_of(model)
    after = transform(model)
    assert after is not model
    check_equal(model, after)
    for old, now in zip(kept, model.weights, strict=True):
        np.testing.assert_array_equal(old, now)
    assert configs_of(model) == configs
    # What comes out is a model like any other: it has nothing more to be done to it.
    assert transform(after) is after
    return after


def configs_of(model):
    """The configurations of a model's layers; of Lambdas the names, as code is no value."""
    return [
        layer.name if isinstance(layer, layers.Lambda) else layer.get_config()
        for layer in model.layers
    ]
