"""What the zoo and its recipes save is read after `import larqlite` alone."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite._registration import COMPANIONS
from larqlite_zoo.literature.dorefanet import MagnitudeAwareSignUnclipped
from larqlite_zoo.literature.meliusnet import AddToLastChannels, SplitChannels
from larqlite_zoo.literature.strong_baseline import LearnedRescale
from larqlite_zoo.literature.xnornet import XnorWeightScale
from larqlite_zoo.sota.quicknet import BlurPool
from larqlite_zoo.training import learning_schedules as schedules
from larqlite_zoo.training.knowledge_distillation import (
    AttentionMatchingLossLayer,
    OutputDistributionMatchingLossLayer,
    WeightedCrossEntropyLoss,
)

L = tf_keras.layers
FORMATS = (".keras", ".h5", "")

# Reads each file in a child of a process that has imported nothing but larqlite; the
# children are forked before TensorFlow has done anything.
READ = """
    import os, sys
    import larqlite as lq
    assert not any(name.startswith("larqlite_zoo") for name in sys.modules)
    for line in open("files.txt").read().splitlines():
        if os.fork() == 0:
            import numpy as np
            path, compiled = line.split()
            model = lq.models.load(path)
            assert (model.optimizer is not None) == (compiled == "True"), "compiled"
            expected = np.load(f"{path}.npz")
            given = [expected[name] for name in expected if name != "y"]
            outputs = model(given[0] if len(given) == 1 else given)
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            np.testing.assert_allclose(outputs[0], expected["y"], 1e-5, 1e-5)
            print(path, "larqlite_zoo" in sys.modules, flush=True)
            os._exit(0)
        assert os.wait()[1] == 0, line
"""


@pytest.fixture
def read_alone(tmp_path, run_fork):
    """Saves models in every format; gives back the files that a process could read."""
    lines = []

    def save(name, model, formats=FORMATS, compiled=False):
        random = np.random.default_rng(0)
        shapes = [(2, *each.shape[1:]) for each in model.inputs]
        x = [random.normal(size=shape).astype("float32") for shape in shapes]
        y = model(x[0] if len(x) == 1 else x)
        y = y[0] if isinstance(y, (list, tuple)) else y
        for kind in formats:
            path = tmp_path / f"{name}{kind}"
            model.save(path)
            inputs = {f"x{number}": each for number, each in enumerate(x)}
            np.savez(f"{path}.npz", y=y, **inputs)
            lines.append(f"{path} {compiled}")

    def read():
        (tmp_path / "files.txt").write_text("\n".join(lines))
        printed = run_fork(READ, timeout=600)
        found = [line.split() for line in printed.splitlines()]
        assert [path for path, _ in found] == [line.split()[0] for line in lines]
        return dict(found)

    return save, read


def of(*layers, shape=(4, 4, 2)):
    return tf_keras.Sequential([tf_keras.Input(shape), *layers])


def trained(optimizer):
    binary = lq.quantizers.NoOp(precision=1)
    model = of(lq.layers.QuantDense(2, kernel_quantizer=binary), shape=(3,))
    model.compile(optimizer, "mse", ["mae"])
    model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
    return model


def quant(quantizer):
    return of(lq.layers.QuantConv2D(2, 3, kernel_quantizer=quantizer))


def matched(layer, shape):
    inputs = [tf_keras.Input(shape) for _ in range(3)]
    return tf_keras.Model(inputs, layer(inputs))


def split():
    x = tf_keras.Input((4, 4, 4))
    parts = SplitChannels(2)(x)
    return tf_keras.Model(x, AddToLastChannels()([x, parts[0]]))


def with_loss():
    model = of(L.Dense(2, activation="softmax"), shape=(3,))
    model.compile("sgd", WeightedCrossEntropyLoss(0.5))
    model.fit(np.zeros((4, 3)), np.zeros(4), verbose=0)
    return model


Adam = tf_keras.optimizers.Adam
# Every object that larqlite_zoo registers, in a model as small as can be.
SMALL = {
    "BlurPool": lambda: of(L.DepthwiseConv2D(3, depthwise_initializer=BlurPool())),
    "MagnitudeAwareSignUnclipped": lambda: quant(MagnitudeAwareSignUnclipped()),
    "XnorWeightScale": lambda: quant(XnorWeightScale()),
    "SplitChannels": split,
    "AddToLastChannels": split,
    "LearnedRescale": lambda: of(LearnedRescale()),
    "BinaryDenseNet": lambda: larqlite_zoo.get(
        "binary_densenet28", input_shape=(32, 32, 3), weights=None, num_classes=3
    ),
    "CosineDecayWithWarmup": lambda: trained(
        Adam(schedules.CosineDecayWithWarmup(0.1, 2, 10))
    ),
    "R2BStepSchedule": lambda: trained(
        lq.optimizers.CaseOptimizer(
            (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
            default_optimizer=Adam(schedules.R2BStepSchedule(0.1, 20, 0.1)),
        )
    ),
    "LinearCosineDecay": lambda: trained(Adam(schedules.LinearCosineDecay(0.1, 10))),
    "AttentionMatchingLossLayer": lambda: matched(
        AttentionMatchingLossLayer(1.0), (4, 4, 2)
    ),
    "OutputDistributionMatchingLossLayer": lambda: matched(
        OutputDistributionMatchingLossLayer(1.0, 2.0), (5,)
    ),
    "WeightedCrossEntropyLoss": with_loss,
}


def registered() -> set[str]:
    return {
        name
        for name, obj in tf_keras.saving.get_custom_objects().items()
        if getattr(obj, "__module__", "").startswith("larqlite_zoo")
    }


def test_the_small_models_are_of_every_object_that_the_zoo_registers():
    names = {name.rpartition(">")[2] for name in registered() if ">" in name}
    assert names == set(SMALL)
    bare = {name for name in registered() if ">" not in name}
    assert bare | {"blurpool_initializer"} == set(COMPANIONS["larqlite_zoo"])


# Files that Keras and `.h5` name in unlike ways, each another one.
SAMPLE = (
    ("BlurPool", ".h5"),
    ("XnorWeightScale", ".h5"),
    ("AddToLastChannels", ".keras"),
    ("AttentionMatchingLossLayer", ".h5"),
    ("CosineDecayWithWarmup", ".keras"),
    ("CosineDecayWithWarmup", ".h5"),
    ("CosineDecayWithWarmup", ""),
)
EVERY = [
    (name, kind)
    for name in SMALL
    for kind in FORMATS[: 3 if "Decay" in name else 2]
    if name != "BinaryDenseNet"  # no small model; it is among all the networks
]


@pytest.mark.parametrize(
    "files", [SAMPLE, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_a_file_with_any_object_of_the_zoo_is_read_alone(files, read_alone):
    save, read = read_alone
    for number, (name, kind) in enumerate(files):
        model = SMALL[name]()
        save(f"{number}_{name}", model, [kind], model.optimizer is not None)
    assert len(read()) == len(files)


SIDES = {"xnornet": 217, "quicknet_small": 32}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        for name in larqlite_zoo.list_models()
        if name != "binary_vgg_small"
    ],
)
def test_every_network_is_read_alone_in_every_format(name, read_alone):
    save, read = read_alone
    height, _, channels = larqlite_zoo.card(name).input_shape
    side = SIDES.get(name, 64 if height > 64 else height)
    shape = (side, side, channels)
    save("net", larqlite_zoo.get(name, input_shape=shape, weights=None, num_classes=3))
    assert len(read()) == 3
