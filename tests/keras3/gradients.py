"""Levels and gradients of quantizers in Keras 3 beside those of larqlite in tf_keras.

python -m tests.keras3.gradients prints a table for the back ends that are installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np

BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}

# Arguments of `lq.quantizers` by class: what changes the numbers, and the defaults.
CASES = {
    "SteSign": [{}, {"clip_value": 0.5}, {"clip_value": None}],
    "ApproxSign": [{}],
    "SteHeaviside": [{}],
    "SwishSign": [{}, {"beta": 2.0}],
    "MagnitudeAwareSign": [{}],
    "SteTern": [{}, {"threshold_value": 0.3}, {"ternary_weight_networks": True}],
    "DoReFa": [{}, {"k_bit": 8}, {"k_bit": 3, "mode": "weights"}],
    "NoOp": [{"precision": 1}],
    "RSign": [{}],
    "AdaBinWeights": [{}],
    "AdaBinActivations": [{}],
    "AbsmeanTernary": [{}, {"per_channel": True}],
    "XnorPlus": [{}, {"axis": None, "clip_value": None}],
    "LSQ": [{}, {"bits": 2, "axis": -1}, {"bits": 3, "mode": "weights"}],
    "XnorScale": [{}],
    "EDESign": [{}],
    "Libra": [{}],
    "ReCU": [{}],
    "Seq": [{}, {"bits": 1}, {"bits": 1.58, "axis": None}],
    "TTQ": [{}, {"axis": -1}],
    "StochasticSign": [{}],
    "StochasticTernary": [{}],
    "Uniform": [{}, {"axis": -1}],
    "PACT": [{}, {"bits": 2, "signed": True}],
    "LSQPlus": [{}, {"bits": 2, "axis": -1}, {"bits": 3, "mode": "weights"}],
    "IntSymmetric": [{}, {"axis": None}],
    "AbsmaxInt8": [{}],
    "LQLevels": [{}, {"bits": 3, "mode": "weights"}],
}


def samples(shape=(3, 3, 8, 16)) -> tuple[np.ndarray, np.ndarray]:
    """Values with those on thresholds among them, and a gradient of what comes out."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape).astype("float32")
    x.ravel()[:9] = (0, -0.0, 1, -1, 0.5, -0.5, 0.05, -0.05, 2)
    return x, rng.normal(size=shape).astype("float32")


def in_tf_keras(quantizer, x, dy, weights=()) -> list[np.ndarray]:
    """Values, the gradient of x, and those of the weights, by TensorFlow's tape."""
    import tensorflow as tf

    if not quantizer.built:
        quantizer.build(x.shape)
    quantizer.set_weights(weights)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    got = tape.gradient(y, [x, *quantizer.trainable_weights], tf.constant(dy))
    return [y.numpy(), *(g.numpy() for g in got)]


def in_keras_3(layer, x, dy, weights=()) -> list[np.ndarray]:
    """The same of a layer of Keras 3, by the back end's own means."""
    import keras

    if not layer.built:
        layer.build(x.shape)
    layer.built = True
    if len(weights):
        # Some have more than in tf_keras.
        layer.set_weights([*weights, *layer.get_weights()[len(weights) :]])
    return [
        keras.ops.convert_to_numpy(v)
        for v in _OF[keras.backend.backend()](layer, x, dy)
    ]


def _of_tensorflow(layer, x, dy):
    import tensorflow as tf

    x = tf.constant(x)
    variables = [weight.value for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return [y, *tape.gradient(y, [x, *variables], tf.constant(dy))]


def _of_jax(layer, x, dy):
    import jax

    def function(x, *weights):
        rest = [w.value for w in layer.non_trainable_variables]
        return layer.stateless_call(list(weights), rest, x)[0]

    weights = [weight.value for weight in layer.trainable_weights]
    y, pull_back = jax.vjp(jax.jit(function), jax.numpy.asarray(x), *weights)
    return [y, *pull_back(jax.numpy.asarray(dy))]


def _of_torch(layer, x, dy):
    import torch

    x = torch.tensor(x, requires_grad=True)
    variables = [weight.value for weight in layer.trainable_weights]
    for variable in variables:
        variable.grad = None
    y = layer(x)
    y.backward(torch.tensor(dy))
    return [y.detach(), x.grad, *(variable.grad for variable in variables)]


_OF = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}


def weights_of(quantizer, shape) -> list[np.ndarray]:
    """Weights of the quantizers that have some, such that each number matters."""
    if not quantizer.built:
        quantizer.build(shape)
    starts = {"threshold": -0.5, "beta": 0.2}
    sizes = {weight.name: weight.shape for weight in quantizer.weights}
    return [
        np.linspace(
            starts.get(name.split("/")[-1].split(":")[0], 0.7),
            0.9,
            shape.num_elements(),
        )
        .reshape(shape)
        .astype("float32")
        for name, shape in sizes.items()
    ]


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, by the largest expected value."""
    scale = max(float(np.abs(expected).max()), 1e-30)
    return float(np.abs(got - expected).max()) / scale


def compared(name: str, arguments: dict) -> tuple[float, float]:
    """The largest difference of values and of gradients of a quantizer of that name."""
    import larqlite as lq

    quantizer = getattr(lq.quantizers, name)(**arguments)
    weights = weights_of(quantizer, (2, 8, 8))
    # Gradients of few weights are sums, whose terms every library adds in its own order:
    # of a thousand terms they differ by more than 1e-6 among themselves.
    x, dy = samples((2, 8, 8) if weights else (3, 3, 8, 16))
    expected = in_tf_keras(quantizer, x, dy, weights)
    got = in_keras_3(getattr(lq.keras3, name)(**arguments), x, dy, weights)
    pairs = zip(got, expected, strict=True)
    values, *gradients = (difference(*pair) for pair in pairs)
    return values, max(gradients)


def rows() -> dict[str, tuple[float, float]]:
    """Of each case: the differences, by how it is written."""
    return {
        f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})": compared(
            name, arguments
        )
        for name, cases in CASES.items()
        for arguments in cases
    }


def _table() -> str:
    found = {}
    for backend, module in BACKENDS.items():
        if find_spec(module) is None:
            continue
        ended = subprocess.run(
            [sys.executable, "-m", "tests.keras3.gradients", "--one"],
            env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found[backend] = json.loads(ended.stdout.splitlines()[-1])
    lines = [
        "| quantizer | " + " | ".join(f"{b}: values, gradients" for b in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for case in next(iter(found.values())):
        cells = ("{:.1e}, {:.1e}".format(*of[case]) for of in found.values())
        lines.append(
            f"| `{case}` | " + " | ".join(cells).replace("0.0e+00", "0") + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(rows()) if "--one" in sys.argv else _table())
