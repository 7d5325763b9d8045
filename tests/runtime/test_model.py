"""Loaded models: calls, batches, profiles, threads, copies of the process, settings."""

from __future__ import annotations

import concurrent.futures
import json
import pickle

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import InputError, InputTypeError, NativeError, _native
from tests.runtime import files
from tests.runtime.networks import stock
from tests.runtime.random_networks import random_input, random_network

needs_native = pytest.mark.skipif(
    _native.library() is None, reason="no compiler: no native kernels"
)


@pytest.fixture
def proto():
    return files.binary_block()


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(7, 12, 12, 3)).astype(np.float32)


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
    model = load(proto)
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
    assert len(table) == len(profile.steps) + 2


def test_a_profile_prints_itself_and_numpy_is_named(proto, images, capsys):
    load(proto, isa="numpy").profile(images[:1], repeat=1, show=True)
    assert "numpy" in capsys.readouterr().out


def test_memory_is_that_of_weights_and_of_a_running_call(proto):
    memory = load(proto, isa="numpy").memory()
    # 40 channels are three blocks of 16; 36 and 40 channels are two words.
    assert memory["packed_weights"] == 2 * 48 * 9 * 2 * 4
    assert memory["float_weights"] == 4 * (36 * 27 + 40 * 5 + 5)
    assert (
        load(proto).memory(batch=4)["workspace"]
        == 4 * load(proto).memory()["workspace"]
    )


def test_calls_from_many_threads_do_not_disturb_one_another():
    model_proto, _ = random_network(12, length=14)
    model = load(model_proto, threads=2)
    inputs = [random_input(model_proto, 1 + seed % 3, seed) for seed in range(24)]
    wanted = [model(x) for x in inputs]

    def call(number):
        return [model(inputs[number]) for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for number, results in enumerate(pool.map(call, range(24))):
            for result in results:
                for found, right in zip(
                    as_list(result), as_list(wanted[number]), strict=True
                ):
                    np.testing.assert_array_equal(found, right)


def as_list(result):
    return result if isinstance(result, list) else [result]


def test_several_models_live_in_one_process(images):
    protos = [random_network(seed)[0] for seed in range(4)]
    models = [load(item) for item in protos]
    for seed in (1, 2):
        for item, model in zip(protos, models, strict=True):
            x = random_input(item, 2, seed)
            for name, array in stock(item, x).items():
                np.testing.assert_array_equal(model.run(x)[name], array)


def test_a_pickled_model_is_the_same_model(proto, images, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    for source in (path, str(path), path.read_bytes()):
        model = larqlite_runtime.load(source, threads=1, outputs=["sums2"])
        data = pickle.dumps(model)
        copy = pickle.loads(data)
        np.testing.assert_array_equal(copy(images), model(images))
        assert copy.threads == 1
    changed = larqlite_runtime.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(larqlite_runtime.ModelFileError, match="has changed"):
        pickle.dumps(changed)


def test_a_forked_child_runs_the_model_too(run_python, tmp_path, proto):
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    code = """
    import os
    import numpy as np
    import larqlite_runtime

    model = larqlite_runtime.load("model.onnx", threads=2)
    x = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype("float32")
    wanted = model(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(model(x), wanted) else 1)
    print(os.waitpid(child, 0)[1], np.array_equal(model(x), wanted))
    """
    assert run_python(code, timeout=60).split() == ["0", "True"]


def test_the_runtime_needs_neither_tensorflow_nor_larqlite(run_python, tmp_path, proto):
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    code = """
    import sys
    import numpy as np
    import larqlite_runtime

    model = larqlite_runtime.load("model.onnx")
    model.profile(np.zeros((1, 12, 12, 3), "float32"))
    loaded = {name.partition(".")[0] for name in sys.modules}
    print(sorted(loaded & {"tensorflow", "tf_keras", "keras", "larqlite", "onnx"}))
    """
    assert run_python(code).strip() == "[]"


def test_without_kernels_numpy_runs_and_it_is_said_once(run_python, tmp_path, proto):
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    code = """
    import logging
    import larqlite_runtime
    from larqlite_runtime import _native

    logging.basicConfig(format="%(message)s")
    _native.EXTENSION_SUFFIXES = []
    for _ in range(2):
        print(larqlite_runtime.load("model.onnx").isa)
    """
    assert run_python(code).split() == ["numpy", "numpy"]
    failing = code + "\n    raise SystemExit('loaded')"
    with pytest.raises(pytest.fail.Exception, match="LARQLITE_REQUIRE_NATIVE is set"):
        run_python(failing, LARQLITE_REQUIRE_NATIVE="1")


@needs_native
def test_an_instruction_set_can_be_asked_for(proto, monkeypatch, caplog):
    assert load(proto, isa="portable").isa == "portable"
    monkeypatch.setenv("LARQLITE_ISA", "portable")
    assert load(proto).isa == "portable"
    monkeypatch.setenv("LARQLITE_ISA", "avx1024")
    with pytest.raises(NativeError, match=r'LARQLITE_ISA: .*"avx1024".*\n.*portable'):
        load(proto)
    monkeypatch.delenv("LARQLITE_ISA")
    lib = _native.library()
    missing = [
        name
        for name, number in _native.INSTRUCTION_SETS.items()
        if not lib.lq_supports(number)
    ]
    _native.say_once.cache_clear()
    for name in missing:
        for _ in range(2):
            assert load(proto, isa=name).isa not in missing
    assert len(caplog.records) == len(missing)


def test_threads_are_the_cores_of_this_process(proto, run_python, tmp_path):
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    code = """
    import os
    import larqlite_runtime

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(larqlite_runtime.load("model.onnx").threads)
    """
    assert run_python(code).strip() == "1"
    assert load(proto, threads=3).threads == 3
