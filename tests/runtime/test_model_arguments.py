"""Arguments that make no sense are refused; those that do are not forgotten."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import ArgumentError, InputError, InputTypeError, ModelFileError
from tests.runtime import files
from tests.runtime.files import floats, integers, model, node

CONTENT = files.binary_block().SerializeToString()
IMAGES = np.random.default_rng(1).normal(size=(7, 12, 12, 3)).astype(np.float32)

LOADS = {
    "threads": [0, -1, 1.5, 999_999, True, "2", np.True_],
    "budget": [0, -1, 2e9, True, "1 GB", None],
    "inputs": ["image", [], 3, [b"image"]],
    "outputs": ["labels", [], 3, [None]],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in LOADS for value in LOADS[name]]
)
def test_what_load_cannot_mean_is_refused_by_name(name, value):
    with pytest.raises(ArgumentError, match=rf"load: {name}=.*\n  Fix: \S") as error:
        larqlite_runtime.load(CONTENT, **{name: value})
    assert repr(value) in str(error.value)


def test_an_instruction_set_is_a_name():
    with pytest.raises(larqlite_runtime.NativeError, match="isa"):
        larqlite_runtime.load(CONTENT, isa=512)


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "8", None])
def test_counts_of_a_loaded_model_are_refused_by_name(value):
    loaded = larqlite_runtime.load(CONTENT, threads=1)
    for call in (
        lambda: loaded.predict(IMAGES, batch_size=value),
        lambda: loaded.predict([IMAGES], batch_size=value),
        lambda: loaded.profile(IMAGES, repeat=value),
        lambda: loaded.memory(batch=value),
    ):
        with pytest.raises(ArgumentError, match=r"=.*\n  Fix: an integer from 1 up"):
            call()


def test_integers_of_numpy_are_integers():
    loaded = larqlite_runtime.load(CONTENT, np.int64(2), budget=np.uint32(4 << 20))
    assert (loaded.threads, loaded.budget) == (2, 4 << 20)
    assert loaded.predict(IMAGES, np.int8(3)).shape[0] == 7


class Dataset:
    """As `tf.data`: pairs, and a length that may be unknown."""

    def __init__(self, *items, length=None):
        self.items, self.length = items, length

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        if self.length is None:
            raise TypeError("The dataset length is unknown.")
        return self.length


class Tensor:
    """As a tensor of another library."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_predict_takes_datasets_with_labels_and_without():
    loaded = larqlite_runtime.load(CONTENT, threads=1)
    whole, y = loaded(IMAGES), np.zeros(7)
    (name,) = [item.name for item in loaded.inputs]
    first, last = IMAGES[:4], IMAGES[4:]
    for data in (
        Dataset((first, y[:4]), (last, y[4:])),
        Dataset((first, y[:4], y[:4]), (last, y[4:], y[4:]), length=2),
        [first, last],
        iter([(Tensor(first), y[:4]), (Tensor(last), y[4:])]),
        Dataset(({name: first}, y[:4]), ({name: last}, y[4:])),
        [tuple(first.tolist()), last],
        Tensor(IMAGES),
        {name: IMAGES},
    ):
        np.testing.assert_array_equal(loaded.predict(data, batch_size=4), whole)


def test_predict_of_two_inputs():
    proto = model([node("Sub", "a b", "y")], {"a": (2,), "b": (2,)}, {"y": (2,)})
    loaded = larqlite_runtime.load(proto.SerializeToString(), threads=1)
    a, b = floats(5, 2), floats(5, 2, seed=1)
    labels = np.zeros(5)
    for data in (
        [(a, b)],
        [((a, b), labels)],
        [([a, b], labels, labels)],
        [({"b": b, "a": a}, labels)],
        {"b": b, "a": a},
    ):
        np.testing.assert_array_equal(loaded.predict(data, batch_size=2), a - b)
    with pytest.raises(InputError, match="different numbers of samples"):
        loaded.predict({"a": a, "b": b[:3]})


def test_predict_of_no_batches_at_all():
    loaded = larqlite_runtime.load(CONTENT, threads=1)
    for data in (3, None, "images.npy"):
        with pytest.raises(InputTypeError, match="neither an array nor an iterable"):
            loaded.predict(data)


def _table(*between):
    nodes = [*between, node("Gather", f"t {between[-1].output[0]}", "y")]
    constants = {"t": floats(50, 3), "one": integers(-1, 4, 1)}
    proto = model(nodes, {"words": (4,)}, {"y": None}, constants)
    return larqlite_runtime.load(proto.SerializeToString(), threads=1), constants["t"]


@pytest.mark.parametrize("wrong", [-1, 50, 1e9, np.nan, -np.inf])
def test_an_index_that_a_table_lacks_is_refused(wrong):
    for between in (
        [node("Cast", "words", "i", to=7)],
        [node("Reshape", "words one", "r"), node("Cast", "r", "i", to=6)],
    ):
        loaded, table = _table(*between)
        x = np.array([[0, 1, 49, 49.5]] * 2, np.float32)
        found = loaded(x).reshape(2, 4, 3)
        np.testing.assert_array_equal(found, table[x.astype(int)])
        np.testing.assert_array_equal(
            loaded(x.astype(np.uint8)).reshape(found.shape), found
        )
        x[1, 2] = wrong
        for call in (loaded, loaded.predict, loaded.run, loaded.profile):
            with pytest.raises(InputError, match=r'"words".*50 rows, 0 to 49.\n  Fix'):
                call(x)


@pytest.mark.parametrize(("op", "wrong"), [("Abs", -50), ("Neg", 1), ("Neg", -50)])
@pytest.mark.parametrize("kind", [6, 7])
def test_an_index_that_is_computed_out_of_a_table_is_refused_too(op, wrong, kind):
    loaded, table = _table(node(op, "words", "a"), node("Cast", "a", "i", to=kind))
    x = np.array([[0, -1, -2, -49]], np.float32)
    np.testing.assert_array_equal(loaded(x), table[abs(x).astype(int)])
    x[0, 2] = wrong
    with pytest.raises(InputError, match=r'node/y".*\n  Fix'):
        loaded(x)


def test_an_index_of_a_column_that_a_table_lacks_is_refused():
    cut = [node("Slice", "words first last axis", "c"), node("Cast", "c", "i", to=7)]
    proto = model(
        [*cut, node("Gather", "t i", "y")],
        {"words": (4,)},
        {"y": None},
        {
            "t": floats(50, 3),
            "first": integers(1),
            "last": integers(2),
            "axis": integers(1),
        },
    )
    loaded = larqlite_runtime.load(proto.SerializeToString(), threads=1)
    loaded(np.array([[-1, 49, 99, 0]], np.float32))
    for wrong in (-1, 50):
        with pytest.raises(InputError, match=r'node/y".*\n  Fix'):
            loaded(np.array([[0, wrong, 0, 0]], np.float32))


OPTIONS = {
    "threads": 1,
    "isa": "portable",
    "inputs": ["normal"],
    "outputs": ["sums2"],
    "budget": 4 << 20,
}


def _state(loaded):
    ends = [[item.name for item in items] for items in (loaded.inputs, loaded.outputs)]
    return loaded.threads, loaded.isa, *ends, loaded.budget


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("duplicate", ["pickle", "copy", "deepcopy", "twice"])
def test_a_copy_is_asked_for_what_the_model_was(path, duplicate):
    makes = {
        "pickle": lambda item: pickle.loads(pickle.dumps(item)),
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "twice": lambda item: copy.copy(pickle.loads(pickle.dumps(item))),
    }
    for source in (path, str(path), CONTENT, bytearray(CONTENT)):
        loaded = larqlite_runtime.load(source, **OPTIONS)
        made = makes[duplicate](loaded)
        assert _state(made) == _state(loaded)
        x = floats(2, *loaded.inputs[0].shape[1:])
        np.testing.assert_array_equal(made(x), loaded(x))


def test_a_copy_has_the_budget_of_the_model_and_no_more(path):
    loaded = larqlite_runtime.load(path, budget=4 << 20)
    rebuilt, arguments = loaded.__reduce__()
    big = files.model(
        [node("Expand", "x s", "y")],
        {"x": (1,)},
        {"y": None},
        {"s": integers(1, 1 << 22)},
    ).SerializeToString()
    larqlite_runtime.load(big)
    with pytest.raises(ModelFileError, match="budget of 4,194,304"):
        rebuilt(big, *arguments[1:])


def test_a_forked_and_a_spawned_model_keep_their_options(run_python, path):
    code = f"""
    import multiprocessing, operator, os
    import larqlite_runtime

    names = "threads", "isa", "inputs", "outputs", "budget", "_source.budget"
    state = operator.attrgetter(*names)
    os.chdir({str(path.parent)!r})
    model = larqlite_runtime.load({path.name!r}, **{OPTIONS!r})
    os.chdir("/")
    wanted = state(model)
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            print(pool.apply_async(state, (model,)).get(60) == wanted)
    child = os.fork()
    if child == 0:
        model._runner.engine()
        os._exit(0 if state(model) == wanted else 1)
    print(os.waitpid(child, 0)[1])
    """
    assert run_python(code, timeout=120).split() == ["True", "True", "0"]


def test_bytes_that_change_after_loading_do_not_change_the_model():
    content = bytearray(CONTENT)
    loaded = larqlite_runtime.load(content)
    content[:] = b"\0" * len(content)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(loaded))(IMAGES), loaded(IMAGES)
    )


def test_a_relative_path_is_that_of_the_folder_at_loading(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    loaded = larqlite_runtime.load(os.fsencode(path.name).decode())
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(loaded))(IMAGES), loaded(IMAGES)
    )
