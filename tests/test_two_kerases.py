"""Objects of Keras 3 beside those of larqlite: one error that says which Keras is meant."""

import subprocess
import sys

import keras  # Keras 3, which TensorFlow brings along
import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite._two_kerases import say_which_keras
from larqlite.errors import (
    TF_KERAS_INSTEAD,
    ArgumentError,
    KerasVersionError,
    UnknownArgumentError,
)
from tests import forks

X, Y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
BINARY = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def layer(**arguments):
    return lq.layers.QuantDense(2, **BINARY, **arguments)


def ours():
    return tf_keras.Sequential([tf_keras.Input((3,)), layer()])


def compiled(model=None, optimizer="sgd", loss="mse", **arguments):
    model = model or ours()
    model.compile(optimizer, loss, **arguments, run_eagerly=True)
    return model


def fit_in_keras_3(*layers, callbacks=None, **arguments):
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
    compiled(model, **arguments).fit(X, Y, verbose=0, callbacks=callbacks)


class HidesOurs(keras.layers.Layer):
    """A layer of Keras 3 that calls ours, and sees no weights in it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


GIVEN_TO_TF_KERAS = {
    "compile, Adam": (
        lambda: compiled(optimizer=keras.optimizers.Adam()),
        'compile() of "sequential.*", optimizer',
        "tf_keras.optimizers.Adam",
    ),
    "compile, loss": (
        lambda: compiled(loss=keras.losses.MeanSquaredError()),
        'compile() of "sequential.*", loss',
        "tf_keras.losses.MeanSquaredError",
    ),
    "compile, metrics in a dictionary": (
        lambda: compiled(metrics={"out": [keras.metrics.MeanSquaredError()]}),
        'compile() of "sequential.*", metrics',
        "tf_keras.metrics.MeanSquaredError",
    ),
    "fit, callbacks": (
        lambda: compiled().fit(X, Y, callbacks=[keras.callbacks.EarlyStopping()]),
        '"sequential.*", callbacks',
        "tf_keras.callbacks.EarlyStopping",
    ),
    "predict, a callback": (
        lambda: ours().predict(X, callbacks=keras.callbacks.TensorBoard()),
        '"sequential.*", callbacks',
        "tf_keras.callbacks.TensorBoard",
    ),
    "Sequential, a layer": (
        lambda: tf_keras.Sequential([layer(), keras.layers.Dense(2)]),
        "Sequential of tf_keras, layer",
        "tf_keras.layers.Dense",
    ),
    "Sequential, an Input": (
        lambda: tf_keras.Sequential([keras.Input((3,)), layer()]),
        "Sequential of tf_keras, layer",
        "import tf_keras",
    ),
}
GIVEN_TO_OURS = {
    "a tensor": (lambda: layer(name="d")(keras.Input((3,))), 'QuantDense "d"'),
    "a default optimizer": (
        lambda: lq.optimizers.CaseOptimizer(default_optimizer=keras.optimizers.SGD()),
        'CaseOptimizer "optimizer_case", default_optimizer',
    ),
    "a schedule": (
        lambda: lq.optimizers.Bop(
            keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.1)
        ),
        'Bop "Bop", threshold',
    ),
    "a constraint": (
        lambda: lq.layers.QuantDense(2, kernel_constraint=keras.constraints.NonNeg()),
        "QuantDense, kernel_constraint",
    ),
    "an initializer": (
        lambda: lq.layers.QuantConv2D(
            2, 3, bias_initializer=keras.initializers.Zeros(), name="c"
        ),
        'QuantConv2D "c", bias_initializer',
    ),
    "a policy": (
        lambda: layer(dtype=keras.DTypePolicy("mixed_float16")),
        "QuantDense, dtype",
    ),
    "an activation": (
        lambda: layer(activation=keras.layers.ReLU()),
        "QuantDense, activation",
    ),
    "the model of a callback": (
        lambda: fit_in_keras_3(callbacks=[lq.callbacks.LowBitLog("log")]),
        "lq.callbacks.LowBitLog",
    ),
    "a variable": (
        lambda: fit_in_keras_3(
            keras.layers.Dense(2, kernel_constraint=lq.constraints.WeightClip())
        ),
        "WeightClip",
    ),
}
GIVEN_TO_KERAS_3 = {
    "Sequential": (lambda: keras.Sequential([layer(name="d")]), 'QuantDense "d"'),
    "add": (
        lambda: keras.Sequential().add(lq.quantizers.SteSign(name="s")),
        'SteSign "s"',
    ),
    "TimeDistributed": (
        lambda: keras.layers.TimeDistributed(layer(name="d")),
        'QuantDense "d"',
    ),
    "an optimizer": (lambda: fit_in_keras_3(optimizer=lq.optimizers.Bop()), "Bop"),
    "a metric": (
        lambda: fit_in_keras_3(metrics=[lq.metrics.FlipRatio()]),
        'FlipRatio "flip_ratio"',
    ),
    "a layer inside of a layer": (
        lambda: fit_in_keras_3(HidesOurs(layer(name="d"))),
        'QuantDense "d"',
    ),
    "a quantizer with weights": (
        lambda: fit_in_keras_3(HidesOurs(lq.quantizers.RSign(name="r"))),
        'RSign "r"',
    ),
}


def refused(attempt, where):
    with pytest.raises(KerasVersionError, match=where.replace("()", r"\(\)")) as error:
        attempt()
    text = str(error.value)
    assert text.count("import tf_keras") == 1
    assert TF_KERAS_INSTEAD in text
    assert text.count("TF_USE_LEGACY_KERAS=1") == 1
    return text


@pytest.mark.parametrize("case", GIVEN_TO_TF_KERAS)
def test_what_tf_keras_is_given(case):
    attempt, where, instead = GIVEN_TO_TF_KERAS[case]
    assert instead in refused(attempt, where)


@pytest.mark.parametrize("case", GIVEN_TO_OURS)
def test_what_ours_are_given(case):
    refused(*GIVEN_TO_OURS[case])


@pytest.mark.parametrize("case", GIVEN_TO_KERAS_3)
def test_what_keras_3_is_given(case):
    refused(*GIVEN_TO_KERAS_3[case])


def test_nothing_else_is_refused():
    # Functions of Keras 3 have no class, and compute what those of tf_keras compute.
    model = compiled(
        loss=keras.losses.mean_squared_error, metrics=[keras.metrics.mean_squared_error]
    )
    model.fit(X, Y, verbose=0, callbacks=[tf_keras.callbacks.EarlyStopping("loss")])
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
    # A loss of Keras 3 in a model that has nothing of larqlite is none of its business.
    plain = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Dense(2)])
    compiled(plain, loss=keras.losses.MeanSquaredError()).fit(X, Y, verbose=0)
    # Without weights a quantizer is a function, also to Keras 3 on TensorFlow.
    fit_in_keras_3(keras.layers.Dense(2, activation=lq.quantizers.SteSign()))
    assert f"{layer(name='d')}".startswith("<")


def test_the_functions_of_tf_keras_that_look_at_what_they_are_given():
    looking = {
        f"{owner.__name__}.{name}"
        for owner in (
            tf_keras.Model,
            tf_keras.Sequential,
            tf_keras.layers.Layer,
            tf_keras.callbacks.CallbackList,
            tf_keras.optimizers.Optimizer,
        )
        for name, function in vars(owner).items()
        if hasattr(function, "looks_for_keras_3")
    }
    assert looking == {"Model.compile", "Sequential.add", "CallbackList.__init__"}
    assert tf_keras.Model.compile.__wrapped__.__module__.startswith("tf_keras")


def test_a_metric_that_belongs_to_a_kernel():
    model = compiled(metrics=[lq.metrics.FlipRatio()])
    with pytest.raises((ArgumentError, TypeError)):
        model.fit(X, Y, verbose=0)
    with pytest.raises(ArgumentError, match="belongs to a kernel"):
        lq.metrics.FlipRatio()(Y, Y)


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        (lq.quantizers.SteSign, "clipvalue", "clip_value"),
        (lq.quantizers.SteTern, "treshold_value", "threshold_value"),
        (lq.quantizers.DoReFa, "bits", "k_bit"),
        (lq.quantizers.RSign, "axes", "axis"),
        (lq.layers.RPReLU, "axes", "axis"),
        (lq.optimizers.Bop, "treshold", "threshold"),
    ],
)
def test_a_misspelt_argument_of_a_quantizer_or_optimizer(kind, wrong, meant):
    with pytest.raises(UnknownArgumentError, match=f'Did you mean "{meant}"') as error:
        kind(**{wrong: 1})
    assert "help(lq." in str(error.value)
    assert isinstance(error.value, TypeError)


IMPORTERS = {
    "import larqlite": 1,
    "import larqlite as lq\nimport tensorflow as tf": 1,
    "import larqlite as lq\nimport tf_keras": 0,
    "from tf_keras import layers": 0,
    "import tf_keras.layers as layers": 0,
    "tf_keras = None": 0,  # a name is enough: whoever writes it knows of it
}


@pytest.mark.parametrize("code", IMPORTERS)
def test_who_does_not_name_tf_keras_is_told_of_it(code, caplog, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    scope = {"__name__": "mine", "say_which_keras": say_which_keras}
    exec(compile(f"{code}\nsay_which_keras()", "mine.py", "exec"), scope)
    assert len(caplog.records) == IMPORTERS[code]
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    exec(compile("say_which_keras()", "mine.py", "exec"), scope)
    assert len(caplog.records) == IMPORTERS[code]


def test_the_line_at_import_is_one(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "import larqlite"],
        env=forks.environment() | {"PYTHONPATH": str(forks.ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if "Keras 3" in line]
    assert len(lines) == 1
    assert "import tf_keras" in lines[0]
    assert "TF_USE_LEGACY_KERAS=1" in lines[0]
