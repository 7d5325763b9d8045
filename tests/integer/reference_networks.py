"""Networks that the reference and larqlite.integer both quantize and calibrate."""

import re

import numpy as np

from tests.integer.reference_cases import Library, answer, integers, weight

KINDS = {"calibrated": "calibrat", "saturation": "saturat", "scales": "scale"}


def chain(library: Library):
    """Convolutions of two kinds, poolings, two dense layers.

    No Flatten of channels with scales of their own: the reference saturates there.
    """
    layers = library.keras.layers
    x = inputs = library.keras.Input((12, 12, 3), name="input")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.ReLU(6.0, name="relu")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.BatchNormalization(name="bn_depthwise")(x)
    x = layers.ReLU(name="relu_depthwise")(x)
    x = layers.Conv2D(8, 1, name="point")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.ReLU(name="relu_point")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(7, name="hidden")(x)
    x = layers.ReLU(name="relu_hidden")(x)
    return library.keras.Model(inputs, layers.Dense(4, name="logits")(x), name="chain")


def branches(library: Library):
    """A sum and a concatenation of two paths, and the mean of the image."""
    layers = library.keras.layers
    x = inputs = library.keras.Input((8, 8, 3), name="input")
    x = first = layers.Conv2D(5, 3, padding="same", name="first")(x)
    x = layers.ReLU(name="relu_first")(x)
    x = layers.Conv2D(5, 3, padding="same", name="second")(x)
    x = added = library.layers.Add(name="add")([x, first])
    x = layers.ReLU(name="relu_added")(x)
    left = layers.Conv2D(3, 3, padding="same", name="left")(x)
    right = layers.Conv2D(4, 1, name="right")(added)
    x = layers.Concatenate(name="concatenate")([left, right])
    x = layers.Conv2D(6, 3, strides=2, name="last")(x)
    x = layers.ReLU(name="relu_last")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return library.keras.Model(inputs, layers.Dense(4, name="logits")(x))


# Two bits for the scales of one layer are too few.
COARSE = {
    "second": {
        "weight_quantizer": {"bitwidth": 8},
        "output_quantizer": {"bitwidth": 8, "axis": "per-axis", "scale_bits": 2},
    }
}
FOUR_BITS = {"activation_bits": 4, "weight_bits": 4, "input_weight_bits": 8}

# What is built, the QuantizationParams, the configuration by layer.
NETWORKS = {
    "chain/8": (chain, {}, None),
    "chain/4": (chain, FOUR_BITS, None),
    "chain/tensor": (chain, {"per_tensor_activations": True}, None),
    "branches/8": (branches, {}, None),
    "branches/4": (branches, FOUR_BITS, None),
    "branches/tensor": (branches, {"per_tensor_activations": True}, None),
    "branches/coarse": (branches, {}, COARSE),
}


def network(library: Library, case: str) -> tuple[dict, dict]:
    """Arrays of what calibration set and of the outputs; configuration and warnings."""
    build, parameters, config = NETWORKS[case]
    model = build(library)
    for variable in model.weights:
        name = variable.name.split(":")[0]
        value = weight(f"{build.__name__}/{name}", variable.shape)
        variable.assign(value * (0.5 if name.endswith("kernel") else 1.0))
    images = integers(build.__name__, 0, 255, (24, *model.input_shape[1:]))
    quantized = library.models.quantize(
        model,
        q_config=config,
        qparams=library.models.QuantizationParams(**parameters),
        samples=images,
        num_samples=24,
        batch_size=8,
    )
    found: dict = {}
    for layer in quantized.layers:
        for variable in layer.weights:
            part = variable.name.split(":")[0].rpartition("/")[2]
            if part in ("range_max", "rescaling_rate", "kernel", "bias"):
                answer(found, f"{case}/{layer.name}/{part}", variable)
    answer(found, f"{case}/outputs", quantized(images[:6]))
    messages = library.models.check_quantization(quantized)
    told = {
        "config": library.models.dump_config(quantized),
        "issues": issues(messages, quantized),
    }
    return found, told


def issues(messages: list, model) -> list[str]:
    """The kind of each message and the layer that it names."""
    found = set()
    for message in messages:
        text = message.lower()
        kind = next(k for k, word in KINDS.items() if word in text)
        names = [layer.name for layer in model.layers]
        words = set(re.findall(r"\w+", message))
        named = [name for name in names if name in words]
        found.add(f"{kind}: {named[0] if named else '?'}")
    return sorted(found)


def plain(value):
    """Keras' wrappers of dictionaries and lists as what JSON knows."""
    if hasattr(value, "items"):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) or type(value).__name__ == "ListWrapper":
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
