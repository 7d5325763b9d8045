"""Loaded models: calls, batches, profiles, threads, copies of the process, settings."""

from __future__ import annotations

import json

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import InputError, InputTypeError
from larqlite_runtime.backends import _native
from tests.runtime import files
from tests.runtime.networks import stock

needs_native = pytest.mark.skipif(
    _native.library() is None, reason="no compiler: no native kernels"
)


def load(proto, **options):
    return larqlite_runtime.load(proto.SerializeToString(), **options)


def two_ends():
    """Two inputs, two outputs."""
    return files.model(
        [
            files.node("Add", "left right", "sum"),
            files.packed("Sign", "sum", "signs"),
            files.packed("BDense", "signs w", "y", weight_shape=[3, 4], input="sign"),
        ],
        {"left": (4,), "right": (4,)},
        {"y": (3,), "sum": (4,)},
        {"w": files.codes(12)},
    )


def test_a_model_says_what_goes_in_and_comes_out(proto):
    model = load(proto)
    assert [(i.name, i.shape, i.dtype) for i in model.inputs] == [
        ("image", (None, 12, 12, 3), "float32")
    ]
    assert [(o.name, o.shape) for o in model.outputs] == [("labels", (None, 5))]
    assert "image (None, 12, 12, 3) -> labels (None, 5)" in repr(model)


@pytest.mark.parametrize("isa", [None, "numpy"])
def test_a_call_gives_what_stock_onnxruntime_gives(proto, images, isa):
    wanted = stock(proto, {"image": images}, ["labels", "logits"])
    found = load(proto, isa=isa, outputs=["labels", "logits"]).run(images)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


def test_several_inputs_and_outputs(images):
    model, proto = load(two_ends()), two_ends()
    x = {
        name: images[:, 0, 0, :1] * np.ones((1, 4), np.float32)
        for name in ("left", "right")
    }
    wanted = stock(proto, x)
    for given in (x, list(x.values()), tuple(x.values())):
        y, total = model(given)
        np.testing.assert_array_equal(y, wanted["y"])
        np.testing.assert_array_equal(total, wanted["sum"])
    assert model.run(x).keys() == {"y", "sum"}


def test_a_wrong_input_says_what_was_expected(proto, images):
    model = load(proto)
    with pytest.raises(InputError, match=r"\(batch, 12, 12, 3\).*\n.*x\[None\]"):
        model(images[0])
    with pytest.raises(InputTypeError, match="float32"):
        model(np.array(["a"]))
    with pytest.raises(InputError, match="no tensor"):
        load(proto, outputs=["nothing"])


def test_results_are_the_callers_own(proto, images):
    model = load(proto)
    first = model(images)
    kept = first.copy()
    model(images * -1)
    np.testing.assert_array_equal(first, kept)


def test_batch_sizes_may_change_from_call_to_call(proto, images):
    model = load(proto)
    whole = model(images)
    for size in (1, 3, 7, 2, 1, 5, 4, 6, 1):
        np.testing.assert_allclose(model(images[:size]), whole[:size], rtol=1e-6)


def test_a_batch_beyond_the_workspace_is_run_in_parts(proto, images, monkeypatch):
    model = load(proto)
    whole = model(images)
    monkeypatch.setattr(model._runner, "most_batch", 3)
    np.testing.assert_allclose(model(images), whole, rtol=1e-6)


def test_predict_joins_batches_and_tells_how_far_it_is(proto, images, capsys):
    model = load(proto)
    whole = model(images)
    seen = []
    found = model.predict(
        images, batch_size=3, progress=lambda *done: seen.append(done)
    )
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    parts = (images[at : at + 2] for at in range(0, 7, 2))
    np.testing.assert_allclose(model.predict(parts, progress=True), whole, rtol=1e-6)
    assert "batch 4" in capsys.readouterr().err
    with pytest.raises(InputError, match="no batches"):
        model.predict([])


def test_several_outputs_of_many_batches():
    x = np.ones((2, 4), np.float32)
    y, total = load(two_ends()).predict([[x, x], [x, -x], [x, x]])
    assert (y.shape, total.shape) == ((6, 3), (6, 4))


def test_inner_tensors_may_be_asked_for_and_fed(proto, images):
    names = ["sums", "sums2", "signs", "labels"]
    wanted = stock(proto, {"image": images}, names)
    tapped = load(proto, outputs=names).run(images)
    for name in names[:3]:
        np.testing.assert_array_equal(tapped[name], wanted[name])
    # Each packed layer alone, fed what the whole model feeds it.
    inner = load(proto, inputs=["relu", "normal"], outputs=["sums", "sums2"])
    x = stock(proto, {"image": images}, ["relu", "normal"])
    for name, array in inner.run(x).items():
        np.testing.assert_array_equal(array, wanted[name])
    with pytest.raises(InputError, match='depend on the input "image"'):
        load(proto, inputs=["normal"], outputs=["sums2", "sums"])


def test_a_profile_has_every_step_and_its_path(proto, images):
    model = load(proto, isa="portable")  # whose floats run in ONNX Runtime
    profile = model.profile(images, repeat=3)
    assert profile.batch == 7
    assert profile.seconds > 0
    assert sum("sums" in step.layer for step in profile.steps) == 2
    convs = [step for step in profile.steps if step.kind == "conv"]
    assert [step.products for step in convs] == [
        7 * 36 * 40 * 9 * channels for channels in (36, 40)
    ]
    assert all(step.gmacs > 0 for step in convs)
    assert {step.path for step in profile.steps} >= {"onnxruntime"}
    json.dumps(profile.to_dict())
    table = str(profile).splitlines()
    assert table[0].split() == ["layers", "kind", "path", "us", "GMAC/s"]
    reasons = set(profile.float_layers.values())
    assert len(table) == len(profile.steps) + 2 + len(reasons)
    assert "in float: node/first, node/logits (its weights are float32)" in table


def test_a_profile_prints_itself_and_numpy_is_named(proto, images, capsys):
    load(proto, isa="numpy").profile(images[:1], repeat=1, show=True)
    assert "numpy" in capsys.readouterr().out


def test_memory_is_that_of_weights_and_of_a_running_call(proto):
    memory = load(proto, isa="numpy").memory()
    # 40 channels are three blocks of 16; 36 and 40 channels are two words.
    assert memory["packed_weights"] == 2 * 48 * 9 * 2 * 4
    assert memory["float_weights"] == 4 * (36 * 27 + 40 * 5 + 5)
    assert (
        load(proto, isa="numpy").memory(batch=4)["workspace"]
        == 4 * load(proto, isa="numpy").memory()["workspace"]
    )
