"""Random small networks whose tensors are read by integer and by float layers."""

import numpy as np
import tf_keras

layers = tf_keras.layers

SIDE = 9


def images(seed, count=12):
    """Whole numbers from 0 to 255, float32."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, SIDE, SIDE, 3)).astype("float32")


def network(seed):
    """A trunk of integer layers with branches, and a tail of floats that reads any of its
    tensors: accumulators, sums, poolings, whatever came last or long before."""
    random = np.random.default_rng(seed)
    tf_keras.utils.set_random_seed(seed)
    inputs = tf_keras.Input((SIDE, SIDE, 3))
    x = inputs
    if random.random() < 0.5:
        x = layers.Rescaling(1 / 255)(x)
    tensors = [_convolved(random, x)]
    for _ in range(random.integers(1, 5)):
        tensors.append(_block(random, tensors))
    return tf_keras.Model(inputs, _tail(random, tensors))


def _one_of(random, choices):
    return choices[random.integers(len(choices))]


def _convolved(random, x):
    kind = random.integers(4)
    if kind == 0 and x.shape[-1] % 2 == 0:
        x = layers.Conv2D(4, 3, padding="same", groups=2)(x)
    elif kind == 1 and x.shape[-1] == 4:
        x = layers.DepthwiseConv2D(3, padding="same")(x)
    else:
        x = layers.Conv2D(4, 3, padding="same", use_bias=bool(random.integers(2)))(x)
    return layers.ReLU(_one_of(random, [None, 6.0]))(x) if random.random() < 0.7 else x


def _block(random, tensors):
    x = tensors[-1]
    same = [t for t in tensors if t.shape == x.shape]
    kind = random.integers(7)
    if kind == 0 and len(same) > 1:
        return layers.Add()([x, _one_of(random, same[:-1])])
    if kind == 1 and len(same) > 1:
        return layers.Concatenate()([x, _one_of(random, same[:-1])])
    if kind == 2 and len(same) > 1:
        return layers.Multiply()([x, _one_of(random, same[:-1])])
    if kind == 3 and x.shape[1] > 4:
        pooling = _one_of(random, [layers.MaxPooling2D, layers.AveragePooling2D])
        size, strides = (tuple(random.integers(1, 4, 2).tolist()) for _ in range(2))
        return pooling(size, strides, _one_of(random, ["valid", "same"]))(x)
    if kind == 4:
        return layers.Dropout(0.5)(x)
    return _convolved(random, _one_of(random, tensors))


def _tail(random, tensors):
    """Gates of squeeze-and-excitation, activations and operators, some of them float."""
    outputs = []
    for _ in range(random.integers(1, 3)):
        x = _one_of(random, tensors)
        kind = random.integers(4)
        if kind == 0:
            squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
            gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(squeezed)
            outputs.append(layers.Multiply()([x, gate]))
        elif kind == 1:
            outputs.append(x * 0.5 + layers.Activation("tanh")(x))
        elif kind == 2:
            squeezed = layers.GlobalAveragePooling2D()(x)
            outputs.append(layers.Dense(3)(squeezed))
        else:
            outputs.append(x)
    return outputs
