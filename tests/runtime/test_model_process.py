"""Models among threads, in copies of the process, and under its settings."""

from __future__ import annotations

import concurrent.futures
import pickle

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import NativeError
from larqlite_runtime.backends import _native
from tests.runtime.networks import stock
from tests.runtime.random_networks import random_input, random_network

needs_native = pytest.mark.skipif(
    _native.library() is None, reason="no compiler: no native kernels"
)


def load(proto, **options):
    return larqlite_runtime.load(proto.SerializeToString(), **options)


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


def test_a_pickle_that_an_earlier_version_wrote_loads(proto, images):
    """It knew `reload` in the module of `load`, and the options by another name."""
    model = load(proto, threads=1, outputs=["sums2"])
    data = pickle.dumps(model, protocol=2)
    for now, then in (
        (b"larqlite_runtime._model\nreload\n", b"larqlite_runtime._load\nreload\n"),
        (
            b"larqlite_runtime._runner\nLoadOptions\n",
            b"larqlite_runtime._runner\nOptions\n",
        ),
    ):
        assert data.count(now) == 1
        data = data.replace(now, then)
    copy = pickle.loads(data)
    np.testing.assert_array_equal(copy(images), model(images))
    assert copy.threads == 1


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
    from larqlite_runtime.backends import _native

    logging.basicConfig(format="%(message)s")
    _native.EXTENSION_SUFFIXES = []
    for _ in range(2):
        print(larqlite_runtime.load("model.onnx").isa)
    """
    assert run_python(code, LARQLITE_REQUIRE_NATIVE="0").split() == ["numpy"] * 2
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
