"""The records of layer classes, against what Keras' layers do with numbers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.graph import FACTS, classes_where, facts_of
from larqlite.qat.lowerings import TABLE
from larqlite.qat.schemes._rules import RULES

K = tf_keras.layers
RNG = np.random.default_rng(0)
IMAGE, SEQUENCE, VOLUME, FLAT = (6, 6, 3), (6, 3), (6, 6, 6, 3), (6,)

# Layers without a record: they compute what their user says, or are parts of others.
RECURRENT = ("SimpleRNN", "GRU", "LSTM", "Bidirectional", "MultiHeadAttention")
WITHOUT = """
    AbstractRNNCell DenseFeatures GRUCell InputSpec LSTMCell Lambda Layer SimpleRNNCell
    SpectralNormalization StackedRNNCells Wrapper
    """
EXPECTED = {
    "does_nothing_in_inference": """
        Identity ActivityRegularization Dropout SpatialDropout1D SpatialDropout2D
        SpatialDropout3D AlphaDropout GaussianDropout GaussianNoise RandomBrightness
        RandomContrast RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth
        RandomZoom
    """,
    "kernel": """
        Dense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose
        DepthwiseConv1D DepthwiseConv2D
    """,
    "is_batch_normalization": "BatchNormalization SyncBatchNormalization",
    "pads_zeros": "ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    "merge": "Add Subtract Multiply Average Maximum Minimum Concatenate Dot",
}


def keras_classes():
    return {name: cls for name, cls in vars(K).items() if isinstance(cls, type)}


def made(cls, **arguments):
    """A layer, and the inputs that it is tried with: numbers above 0, each of them once."""
    rank = next((int(part[-2]) for part in [cls.__name__.replace("Transpose", "")]
                 if part[-1] == "D" and part[-2].isdigit()), 0)  # fmt: skip
    shape = {0: IMAGE, 1: SEQUENCE, 2: IMAGE, 3: VOLUME}[rank]
    given = {
        K.Reshape: {"target_shape": (-1,)},
        K.Permute: {"dims": (2, 1, 3)},
        K.RepeatVector: {"n": 2},
        K.CenterCrop: {"height": 8, "width": 8},
        K.RandomCrop: {"height": 8, "width": 8},
        K.Resizing: {"height": 8, "width": 8},
        K.ThresholdedReLU: {"theta": 2.0},
        K.Dot: {"axes": -1},
        K.Activation: {"activation": "linear"},
        K.RandomBrightness: {"factor": 0.5},
        K.RandomContrast: {"factor": 0.5},
        K.RandomHeight: {"factor": 0.5},
        K.RandomWidth: {"factor": 0.5},
        K.RandomRotation: {"factor": 0.5},
        K.RandomZoom: {"height_factor": 0.5},
        K.RandomTranslation: {"height_factor": 0.5, "width_factor": 0.5},
        K.Cropping2D: {"cropping": 1},
        K.GaussianNoise: {"stddev": 1.0},
    }.get(cls, {})
    if "Dropout" in cls.__name__:
        given = {"rate": 0.5}
    if facts_of_class(cls).kernels:
        given = {"kernel_size": 3} if rank else {"units": 5}
        if "Depthwise" not in cls.__name__ and rank:
            given["filters"] = 5
        if "Depthwise" in cls.__name__ or "Separable" in cls.__name__:
            given["depth_multiplier"] = 2
    shape = FLAT if cls is K.RepeatVector else shape
    layer = cls(**{**given, **arguments})
    count = 2 if facts_of(layer).merge else 1
    return layer, shape, count


def facts_of_class(cls):
    facts = FACTS[cls]
    return facts if isinstance(facts, lq.models.LayerFacts) else lq.models.LayerFacts()


def numbers(shape, count, order=None):
    """Arrays of the integers from 1 on, in an order that is given or random."""
    size = int(np.prod(shape))
    order = RNG.permutation(count * size) if order is None else order
    arrays = np.split(1 + order.astype(np.float32), count)
    arrays = [array.reshape(1, *shape) for array in arrays]
    return arrays if count > 1 else arrays[0]


def values(layer, inputs):
    """What a model with the layer predicts."""
    sources = tf.nest.map_structure(lambda x: tf_keras.Input(x.shape[1:]), inputs)
    model = tf_keras.Model(sources, layer(sources))
    return np.asarray(model(inputs, training=False))


def flat(inputs):
    return np.concatenate([np.ravel(x) for x in tf.nest.flatten(inputs)])


def cases(condition):
    """Layers of all classes whose record says so, those that depend on arguments too."""
    found = [(cls, {}) for cls in classes_where(condition) if cls is not K.InputLayer]
    found += [
        (cls, arguments)
        for cls, arguments in (
            (K.Flatten, {}),
            (K.Activation, {}),
            (K.ReLU, {"negative_slope": 0.1, "threshold": 3.0}),
            (K.LeakyReLU, {}),
            (K.ELU, {}),
            (K.UpSampling2D, {}),
            (K.UpSampling2D, {"interpolation": "bilinear"}),
            (K.Resizing, {"interpolation": "nearest"}),
            (K.Resizing, {"interpolation": "bilinear"}),
        )
        if condition(facts_of(made(cls, **arguments)[0]))
    ]
    return [pytest.param(*case, id="-".join([case[0].__name__, *map(str, case[1].values())]))
            for case in found]  # fmt: skip


def test_every_class_of_keras_has_a_record_or_is_known_to_have_none():
    assert {n for n, c in keras_classes().items() if c not in FACTS} == set(
        WITHOUT.split()
    )


@pytest.mark.parametrize("fact", EXPECTED)
def test_a_fact_is_true_of_these_classes(fact):
    found = classes_where(lambda facts: getattr(facts, fact))
    assert {cls.__name__ for cls in found} == set(EXPECTED[fact].split())


@pytest.mark.parametrize(
    ("cls", "arguments"), cases(lambda f: f.does_nothing_in_inference)
)
def test_what_does_nothing_in_inference_gives_out_what_goes_in(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    inputs = numbers(shape, count)
    np.testing.assert_array_equal(values(layer, inputs), inputs)


@pytest.mark.parametrize(("cls", "arguments"), cases(lambda f: f.keeps_range))
def test_values_come_out_of_those_that_go_in_as_the_record_says(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    level = facts_of(layer).values
    inputs, exact = numbers(shape, count), []
    out = values(layer, inputs)
    assert (out <= flat(inputs).max() + 1e-3).all()
    assert (out >= 0).all()
    # Whether it is picked, moved, reshaped: all up to the level, and none beyond.
    exact.append(set(np.ravel(out)) <= set(flat(inputs)))
    size = flat(inputs).size
    other = RNG.permutation(size)
    renamed = tf.nest.map_structure(
        lambda x: 1 + other[x.astype(int) - 1].astype(np.float32), inputs
    )
    codes = np.clip(np.rint(out).astype(int) - 1, 0, size - 1)
    exact.append(np.array_equal(values(layer, renamed), 1 + other[codes]))
    exact.append(np.array_equal(np.ravel(out), flat(inputs)))
    reached = ("between", "picked", "moved", "reshaped").index(level)
    assert exact == [True] * reached + [False] * (3 - reached)


@pytest.mark.parametrize(("cls", "arguments"), cases(lambda f: f.is_monotone))
def test_no_output_of_a_monotone_layer_falls_where_an_input_rises(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    below = tf.nest.map_structure(lambda x: x - x.mean(), numbers(shape, count))
    above = tf.nest.map_structure(
        lambda x: x + RNG.integers(0, 9, x.shape).astype(np.float32), below
    )
    assert (values(layer, below) <= values(layer, above) + 1e-3).all()


@pytest.mark.parametrize(("cls", "arguments"), cases(lambda f: f.pads_zeros))
def test_what_pads_adds_nothing_but_zeros(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    inputs = numbers(shape, count)
    out = values(layer, inputs)
    assert out.size > inputs.size
    assert sorted(out[out != 0]) == sorted(np.ravel(inputs))


@pytest.mark.parametrize(("cls", "arguments"), cases(lambda f: f.pooling))
def test_a_pooling_is_a_maximum_or_a_mean(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    inputs = numbers(shape, count)
    kind = facts_of(layer).pooling
    size = 2 if not kind.startswith("global") else shape[0]
    window = (0, *[slice(0, size)] * (len(shape) - 1), 0)
    expected = inputs[window].max() if kind.endswith("max") else inputs[window].mean()
    assert np.ravel(values(layer, inputs))[0] == pytest.approx(expected)


MERGED = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "average": lambda a, b: (a + b) / 2,
    "concatenate": lambda a, b: np.concatenate([a, b], -1),
    "dot": lambda a, b: np.einsum("nhwc,nijc->nhwij", a, b),
}


@pytest.mark.parametrize(("cls", "arguments"), cases(lambda f: f.merge))
def test_a_merge_is_the_function_of_its_name(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    inputs = numbers(shape, count)
    expected = MERGED[facts_of(layer).merge](*inputs)
    np.testing.assert_allclose(values(layer, inputs), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("cls", "arguments"), cases(lambda f: f.is_batch_normalization)
)
def test_a_batch_normalization_has_four_weights_for_each_channel(cls, arguments):
    layer, shape, count = made(cls, **arguments)
    inputs = numbers(shape, count)
    layer.build(inputs.shape)
    gamma, beta, mean, variance = drawn = RNG.uniform(1, 2, (4, shape[-1]))
    layer.set_weights(drawn)
    expected = gamma * (inputs - mean) / np.sqrt(variance + layer.epsilon) + beta
    np.testing.assert_allclose(values(layer, inputs), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("cls", "arguments"), cases(lambda f: any(k.channels_out for k in f.kernels))
)
def test_axes_of_kernels_are_those_that_keras_adds_up(cls, arguments):
    """A place in the middle of ones is the sum of a kernel over its other axes."""
    layer, shape, _ = made(cls, use_bias=False, **arguments)
    inputs = np.ones((1, *shape), np.float32)
    layer.build(inputs.shape)
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.get_weights()])
    channels = np.ones(shape[-1])
    for axes in facts_of(layer).kernels:
        kernel = np.asarray(getattr(layer, axes.name))
        aligned = np.ones(kernel.ndim, int)
        aligned[list(axes.channels_in)] = channels.size
        products = kernel * channels.reshape(aligned)
        channels = products.sum(axis=axes.summed).ravel()
        assert kernel.shape[: axes.spatial] == getattr(layer, "kernel_size", ())[
            : axes.spatial
        ] or set(kernel.shape[: axes.spatial]) == {1}
    out = values(layer, inputs)
    assert layer.compute_output_shape(inputs.shape)[-1] == channels.size
    middle = (0, *(size // 2 for size in out.shape[1:-1]))
    np.testing.assert_allclose(out[middle], channels, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", [n for n in lq.layers.__all__ if n.startswith("Quant") and n[-1] != "r"]
)
def test_a_quant_layer_has_the_kernels_of_its_keras_class(name):
    quantized = getattr(lq.layers, name)
    assert FACTS[quantized] == FACTS[getattr(K, name.removeprefix("Quant"))]
    assert [kernel.name for kernel in FACTS[quantized].kernels] == list(
        quantized.quantized_weights
    )


def test_flatten_with_channels_first_moves_values():
    layer = K.Flatten(data_format="channels_first")
    inputs = numbers((2, 3, 4), 1)
    assert facts_of(layer).values == "moved"
    assert not np.array_equal(np.ravel(values(layer, inputs)), np.ravel(inputs))


def test_a_slope_below_zero_is_not_monotone():
    assert not facts_of(K.LeakyReLU(-1.0)).is_monotone
    assert facts_of(K.ReLU()).is_monotone


def test_a_function_has_facts_by_its_name():
    x = tf_keras.Input((4,))
    layers = tf.reshape(x, (-1, 2)).node.layer, (x + 1).node.layer
    assert [facts_of(layer).keeps_values for layer in layers] == [True, False]


def test_the_weights_that_schemes_and_lowerings_quantize_are_the_kernels():
    by_rule = {cls: tuple(rule.weights) for cls, rule in RULES.items()}
    by_lowering = {cls: (row.weight,) for cls, row in TABLE.items() if row.weight}
    for weights in (by_rule, by_lowering):
        found = {cls: names for cls, names in weights.items() if FACTS.get(cls)}
        kernels = {
            cls: tuple(axes.name for axes in facts_of_class(cls).kernels)
            for cls in found
        }
        different = {cls.__name__ for cls in found if kernels[cls] != found[cls]}
        assert different <= {"PReLU", "Embedding", *RECURRENT}


class Plain(K.Permute):
    """Computes what its base does."""


class Reversed(K.Permute):
    """Computes something else."""

    def call(self, inputs):
        return -super().call(inputs)


def test_a_subclass_has_the_facts_of_its_base_unless_it_computes_something_else():
    assert facts_of(Plain((2, 1))).moves_values
    assert not facts_of(Reversed((2, 1))).moves_values


class Jitter(K.Layer):
    """Trains a model only."""

    def call(self, x, training=None):
        return x + tf.random.normal(tf.shape(x)) if training else x


@pytest.fixture
def jitter():
    lq.models.add_layer_facts(
        Jitter, lq.models.LayerFacts(does_nothing_in_inference=True)
    )
    yield Jitter
    del FACTS[Jitter]


@pytest.mark.parametrize("wrong", ["Jitter", 3, int, K.Layer.call])
def test_facts_are_of_a_layer_class_only(wrong):
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)not a class.*Fix: "):
        lq.models.add_layer_facts(wrong, lq.models.LayerFacts())


def test_facts_are_a_record():
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)no lq.*LayerFacts.*Fix: "):
        lq.models.add_layer_facts(Jitter, "moved")
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)'moving'.*Fix: .*'moved'"):
        lq.models.LayerFacts(values="moving")


def test_the_summary_counts_nothing_for_what_does_nothing(jitter):
    layers = [
        lq.layers.QuantDense(4, input_quantizer="ste_sign", input_shape=(3,)),
        lq.quantizers.SteSign(),
        jitter(),
        K.Dense(2),
    ]
    rows = lq.models.profile(tf_keras.Sequential(layers)).layers
    assert rows[2].macs == 0
    assert rows[3].input_precision == 1


def test_the_summary_does_not_guess_what_a_layer_without_facts_computes():
    model = tf_keras.Sequential([Jitter(input_shape=(3,))])
    (row,) = lq.models.profile(model).layers
    assert row.macs is None
    assert "no formula for the class Jitter" in row.macs_reason


def test_what_does_nothing_leaves_integer_models(jitter):
    layers = [K.Conv2D(2, 3, input_shape=(6, 6, 3)), jitter(), K.Flatten(), K.Dense(2)]
    model = lq.integer.models.transforms.sanitize(tf_keras.Sequential(layers))
    assert not any(isinstance(layer, jitter) for layer in model.layers)


class Spread(K.Layer):
    """A dense layer of a user."""

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (shape[-1], 4))

    def call(self, x):
        return x @ self.kernel


@pytest.fixture
def spread():
    lq.models.add_layer_facts(
        Spread, lq.models.LayerFacts((lq.models.KernelAxes("kernel"),))
    )
    lq.qat.add_rule(Spread, lq.qat.Rule({"kernel": False}))
    yield Spread
    del FACTS[Spread], RULES[Spread]


def test_training_leaves_what_a_kernel_of_a_user_gives_to_its_normalization(spread):
    model = tf_keras.Sequential(
        [spread(input_shape=(6,)), K.BatchNormalization(name="bn")]
    )
    reasons = [row.reason for row in lq.qat.report(lq.qat.quantize_model(model)).layers]
    assert "output quantized after bn" in reasons
