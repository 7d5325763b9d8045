"""Each illness is named in a network that has it, and gone after its fix; a healthy has none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.analysis._diagnosis import ILLNESSES
from tests.analysis.sick_networks import (
    BINARY,
    IMAGES,
    SICK,
    X,
    Y,
    adapted,
    by_code,
    conv,
    dense,
    layers,
    norm,
    stack,
)
from tests.common.eager import eagerly, quantize_model

# Those that need training steps; the others are seen without.
OF_STEPS = ("weights that never flip", "gradients that are zero")


def examined(model, x=X, y=Y, steps=4):
    data = x if y is None else (x, y)
    with eagerly():
        return lq.analysis.diagnose(model, data, samples=32, steps=steps)


def of(report, layer: str, illness: str):
    return [f for f in report.findings if (f.layer, f.illness) == (layer, illness)]


@pytest.mark.parametrize("name", SICK)
def test_an_illness_is_named_and_its_fix_works(name):
    sick = SICK[name]
    model, steps = sick.make(), 4 * (sick.illness in OF_STEPS)
    report = examined(model, sick.x, steps=steps)
    found = of(report, sick.layer, sick.illness)[0]
    assert found.threshold == ILLNESSES[sick.illness][1]
    assert sum(found.histogram.counts)
    if sick.healed is None:
        for each in report.findings:
            if each.layer == sick.layer and "\n" in each.fix:
                by_code(model, each.fix, each.layer, sick.x)
    else:
        assert sick.said in found.fix
        model = sick.healed()
    report = examined(model, sick.x, steps=steps)
    assert not of(report, sick.layer, sick.illness)


def test_the_networks_have_every_illness():
    assert len(SICK) >= 20
    assert {sick.illness for sick in SICK.values()} == set(ILLNESSES)


@pytest.mark.parametrize(
    ("make", "x"),
    [(dense, X), (conv, IMAGES), (lambda: conv("QuantDepthwiseConv2D"), IMAGES)],
)
def test_a_healthy_network_has_none(make, x):
    model = make()
    before = [weight.numpy() for weight in model.weights]
    for y in (Y, None) if make is dense else (None,):
        report = examined(model, x, y)
        assert report.ok, str(report)
        assert len(report.judged) > 8
    assert all(map(np.array_equal, before, [w.numpy() for w in model.weights]))
    assert "nothing is ill" in str(report)


def test_weights_of_bop_are_signs_and_no_saturated_latents():
    model = dense(np.sign)
    bop = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
        default_optimizer="adam",
    )
    model.compile(bop, tf_keras.losses.SparseCategoricalCrossentropy(True))
    assert examined(model).ok


def test_weights_that_were_zero_before_are_no_zero_codes():
    """As the slopes that a PReLU begins with, and what pruning leaves."""
    model = stack(layers.Dense(8, name="first"), layers.PReLU(name="slopes"))
    kernel = model.get_layer("first").kernel
    kernel.assign(kernel * (np.arange(8) == 0))
    report = examined(quantize_model(model, scheme="int4", calibrate=X))
    assert not [f for f in report.findings if f.illness == "zero codes"], str(report)


def test_layers_of_models_inside_are_found_by_their_paths():
    inside = stack(lq.layers.QuantDense(8, name="signs", **BINARY))
    outer = stack(layers.Dense(12, activation="relu", name="first"), inside)
    report = examined(adapted(outer))
    (found,) = [f for f in report.findings if f.illness == "ReLU before a sign"]
    assert found.layer == "network/signs"
    assert '"first" is never negative' in found.fix


def test_the_report_is_text_data_and_a_picture(tmp_path):
    model = dense(np.sign, kernel_constraint=None)
    report = examined(model)
    content = json.loads(json.dumps(report.to_dict()))
    assert not content["ok"]
    assert [f["illness"] for f in content["findings"]] == [
        f.illness for f in report.findings
    ]
    assert len(content["judged"]) == len(report.judged)
    assert "saturated latents" in str(report)
    assert "Fix: begin again near zero" in str(report)
    figure = report.plot(tmp_path / "ill.svg")
    assert (tmp_path / "ill.svg").stat().st_size > 1000
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == len(report.findings)
    assert any("saturated latents" in title for title in titles)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == sum(report.findings[0].histogram.counts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"samples": 0}, "samples=0"),
        ({"steps": -1}, "steps=-1"),
        ({"learning_rate": 0}, "learning_rate=0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments, said):
    with pytest.raises(lq.errors.ArgumentError, match=said):
        lq.analysis.diagnose(stack(norm()), X, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["fashion_mnist", "fashion_mnist_distilled"])
def test_trained_networks_of_the_zoo_have_none(word):
    model = larqlite_zoo.get(
        "binary_vgg_small", input_shape=(28, 28, 1), num_classes=10, weights=word
    )
    _, (x, y) = lq.datasets.load_fashion_mnist()
    data = lq.datasets.to_float_images(x[:64]), y[:64]
    report = lq.analysis.diagnose(model, data, samples=64, batch_size=16)
    assert report.ok, str(report)
