"""Every layer class that larqlite defines has a record of facts, and a cost."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.graph import FACTS, LayerFacts, facts_of
from larqlite.models.internal import KINDS

K = tf_keras.layers
# Users derive from them, with a `call` of their own.
BASES = {
    *("KernelLayer", "PaddedConv", "QuantLayer", "QuantizedLayer", "StraightThrough"),
    *("LearnedLevels", "Stochastic", "WithWeights"),
    "TableLayer",
}


def modules():
    """All modules of the packages that define layers."""
    for package in (lq, larqlite_zoo):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def layer_classes():
    """The layer classes that files or users may name, by name: registered or public."""
    named = set(map(id, tf_keras.saving.get_custom_objects().values()))
    found = {}
    for module in modules():
        for name, cls in vars(module).items():
            if not inspect.isclass(cls) or not issubclass(cls, K.Layer):
                continue
            if issubclass(cls, (tf_keras.Model, tf_keras.metrics.Metric)):
                continue
            is_ours = cls.__module__.startswith(("larqlite.", "larqlite_zoo."))
            is_public = name in getattr(module, "__all__", ())
            if is_ours and (is_public or id(cls) in named):
                found[f"{cls.__module__}.{cls.__name__}"] = cls
    return found


@pytest.fixture(scope="module")
def classes():
    found = layer_classes()
    return {name: cls for name, cls in found.items() if cls.__name__ not in BASES}


def test_the_walk_finds_the_layers_of_every_package(classes):
    places = {name.split(".")[1] for name in classes}
    assert places >= {"layers", "quantizers", "integer", "qat", "literature"}
    assert len(classes) > 80


def test_every_layer_class_has_a_record(classes):
    assert [name for name, cls in sorted(classes.items()) if cls not in FACTS] == []


def test_every_layer_class_has_a_cost(classes):
    def is_known(cls):
        facts = FACTS.get(cls)
        if any(base in KINDS for base in cls.__mro__):
            return True
        return isinstance(facts, LayerFacts) and (facts.keeps_range or facts.activation)

    assert [name for name, cls in sorted(classes.items()) if not is_known(cls)] == []


def transformer():
    """One block on 4 x 4 tokens of 8 channels, of layers that Keras lacks."""
    own = lq.integer.layers
    inputs = tf_keras.Input((4, 4, 8))
    x = K.Conv2D(8, 1, name="embed")(inputs)
    x = own.ClassToken(name="token")(K.Reshape((16, 8))(x))
    x = own.AddPositionEmbs(name="position")(x)
    parts = [K.Dense(8, name=name)(x) for name in ("query", "key", "value")]
    y, _ = own.Attention(2, softmax="shiftmax", name="attention")(parts)
    x = own.LayerMadNormalization(name="norm")(own.Add(name="add")([x, y]))
    x = own.ExtractToken(0, name="first")(own.Shiftmax(name="shiftmax")(x))
    return tf_keras.Model(inputs, K.Dense(3, name="classes")(x))


BY_HAND = {  # parameters, then multiply-accumulates
    "embed": (8 * 8 + 8, 16 * 8 * 8),
    "token": (8, 0),
    "position": (17 * 8, 0),
    "query": (8 * 8 + 8, 17 * 8 * 8),
    # Of each token with each, over the channels of all heads; and the sums of values.
    "attention": (0, 2 * 17 * 17 * 8),
    "add": (0, 0),
    "norm": (8 + 8, 0),
    "shiftmax": (0, 0),
    "first": (0, 0),
    "classes": (8 * 3 + 3, 8 * 3),
}


def counted(costs):
    return {name: (row.params, row.macs) for name, row in
            ((name, costs.layer(name)) for name in BY_HAND)}  # fmt: skip


def test_layers_that_keras_lacks_count_as_by_hand():
    costs = lq.models.profile(transformer())
    assert costs.unknown_layers == ()
    assert counted(costs) == BY_HAND
    assert costs.deployed_bytes == 4 * costs.trained_params


def test_an_integer_model_counts_its_integers():
    samples = np.random.default_rng(0).integers(-99, 99, (4, 4, 4, 8))
    model = lq.integer.models.quantize(transformer(), samples=samples)
    costs = lq.models.profile(model)
    assert costs.unknown_layers == ()
    assert counted(costs) == BY_HAND
    # Kernels, biases and tokens are integers of 8 bits; ranges of quantizers are none.
    assert (
        costs.deployed_bytes == sum(params for params, _ in BY_HAND.values()) + 2 * 72
    )
    assert costs.layer("query").macs_by_bits == {(8, 8): 17 * 8 * 8}
    # The mask has powers of two from 2^-10 to 1.
    half = 17 * 17 * 8
    assert costs.layer("attention").macs_by_bits == {(8, 8): half, (8, 11): half}
    assert costs.layer("classes").macs_by_bits == {(8, 11): 8 * 3}


def test_an_integer_convolution_counts_the_bits_of_its_configuration():
    layers = [
        K.Conv2D(4, 1, name="first", input_shape=(6, 6, 3)),
        K.SeparableConv2D(6, 3, name="separable"),
        K.ReLU(name="relu"),
        K.DepthwiseConv2D(3, name="depthwise", use_bias=False),
        K.Flatten(),
        K.Dense(2, name="dense"),
    ]
    params = lq.integer.models.QuantizationParams(
        weight_bits=4, input_weight_bits=6, per_tensor_activations=True
    )
    model = lq.integer.models.quantize(tf_keras.Sequential(layers), qparams=params)
    costs = lq.models.profile(model)
    assert costs.unknown_layers == ()
    bits = {row.name: row.params_by_bits for row in costs.layers if row.weights}
    assert bits == {
        "first": {6: 3 * 4, 8: 4},
        "separable": {4: 3 * 3 * 4 + 4 * 6, 8: 6},
        "depthwise": {4: 3 * 3 * 6},
        "dense": {4: 2 * 2 * 6 * 2, 8: 2},
    }
    assert costs.layer("depthwise").macs_by_bits == {(4, 8): 3 * 3 * 6 * 2 * 2}
    assert costs.layer("dense").macs_by_bits == {(4, 8): 2 * 2 * 6 * 2}


def test_the_record_of_an_average_is_not_that_of_a_sum():
    add, average = (lq.integer.layers.Add(average=average) for average in (False, True))
    assert (facts_of(add).merge, facts_of(add).keeps_range) == ("add", False)
    assert (facts_of(average).merge, facts_of(average).keeps_range) == ("average", True)


def test_a_number_under_the_name_of_what_layers_say_of_bits_is_left_alone():
    class Mine(tf_keras.layers.Dense):
        weight_precision = 4

    model = tf_keras.Sequential([tf_keras.Input((4,)), Mine(3)])
    assert lq.models.profile(model).deployed_bytes == 4 * 15
