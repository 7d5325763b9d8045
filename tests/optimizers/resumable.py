"""A model trained by four kinds of optimizer at once, to be stopped and gone on with."""

import numpy as np
import tf_keras

import larqlite as lq


def make(normalized=True):
    """Bop on a schedule, two legacy optimizers, and Adam on a schedule for the rest."""
    inputs = tf_keras.Input((6,))
    hidden = lq.layers.QuantDense(
        8,
        use_bias=False,
        kernel_quantizer=lq.quantizers.NoOp(precision=1),
        name="binary",
    )(inputs)
    if normalized:
        hidden = tf_keras.layers.BatchNormalization(name="norm")(hidden)
    hidden = tf_keras.layers.Dense(4, activation="relu", name="old")(hidden)
    outputs = tf_keras.layers.Dense(2, name="top", dtype="float32")(hidden)
    model = tf_keras.Model(inputs, outputs)
    falling = tf_keras.optimizers.schedules.ExponentialDecay(0.2, 3, 0.7)
    legacy = tf_keras.optimizers.legacy
    optimizer = lq.optimizers.CaseOptimizer(
        (
            lq.optimizers.Bop.is_binary_variable,
            lq.optimizers.Bop(threshold=1e-4, gamma=falling),
        ),
        (lambda v: "old/kernel" in v.name, legacy.SGD(0.05, momentum=0.9, name="mine")),
        (lambda v: "old/bias" in v.name, legacy.Adam(0.05)),
        default_optimizer=tf_keras.optimizers.Adam(falling, name="other"),
    )
    model.compile(optimizer, "mse")
    return model


def train(model):
    """Twelve steps on the same data in the same order."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)), rng.normal(size=(64, 2))
    model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)


def state(model):
    """All weights, and all variables of the optimizer."""
    tensors = [*model.weights, *model.optimizer.variables]
    return {str(index): tensor.numpy() for index, tensor in enumerate(tensors)}
