"""Random inputs of `export` and `verify` are numbers that the model takes, or data is asked for."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite.deploy.verifier._random_inputs import candidates, in_short, random_inputs
from larqlite.errors import ArgumentError, UnsupportedLayerError
from tests.deploy.keras_and_file import with_random_weights
from tests.deploy.verified_network import BINARY

K = tf_keras.layers


def packed(build, *shapes, dtype=None):
    """A packed layer behind what `build` makes of inputs of these shapes."""
    inputs = [tf_keras.Input(shape, dtype=dtype) for shape in shapes]
    x = build(*inputs)
    x = K.Flatten()(x) if x.shape.rank > 2 else x
    return tf_keras.Model(inputs, lq.layers.QuantDense(4, **BINARY)(x))


def first_tried(model, samples=200):
    return next(candidates(model, samples))


def embedded(size):
    return lambda x: K.Flatten()(K.Embedding(size, 3)(x))


def test_indices_of_embeddings_cover_the_smallest_table_that_reads_them():
    nested = tf_keras.Sequential([K.Reshape((3, 2)), K.Embedding(7, 3), K.Flatten()])

    def two(x):
        return K.Concatenate()([embedded(30)(x[:, :2]), embedded(9)(x[:, 2:])])

    for build, size in ((embedded(30), 30), (nested, 7), (two, 9)):
        (array,) = first_tried(packed(build, (6,)))
        np.testing.assert_array_equal(np.unique(array), np.arange(size))
    model = packed(
        lambda a, b: K.Concatenate()([embedded(5)(a), K.Dense(2)(b)]), (4,), (3,)
    )
    indices, others = first_tried(model)
    assert set(np.unique(indices)) == set(range(5))
    assert abs(others.std() - 1) < 0.1


PIXELS = {
    "rescaling": K.Rescaling(1 / 255),
    "rescaling to -1 and 1": K.Rescaling(1 / 127.5, offset=-1),
    "in a nested model": tf_keras.Sequential([K.RandomFlip(), K.Rescaling(1 / 255)]),
    "behind a pooling": tf_keras.Sequential(
        [K.AveragePooling2D(), K.Resizing(3, 3), K.Rescaling(1 / 255)]
    ),
    "division": lambda x: x / 127.5 - 1,
    "product": lambda x: x * (1 / 255),
    "difference": lambda x: x - [103.9, 116.8, 123.7],
}


@pytest.mark.parametrize("name", PIXELS)
def test_what_scales_pixels_gets_pixels(name):
    (array,) = first_tried(packed(PIXELS[name], (4, 4, 3)))
    assert (array == np.rint(array)).all()
    assert (array.min(), array.max()) == (0, 255)


def test_normalizations_get_their_mean_and_variance():
    data = np.random.default_rng(0).normal([5, -3, 100], [2, 1, 30], (500, 3))
    adapted = K.Normalization()
    adapted.adapt(data.astype(np.float32))
    moving = K.BatchNormalization()
    models = [packed(layer, (3,)) for layer in (adapted, moving)]
    moving.moving_mean.assign([5.0, -3, 100])
    moving.moving_variance.assign([4.0, 1, 900])
    for model in models:
        (array,) = first_tried(model, 500)
        np.testing.assert_allclose(array.mean(0), [5, -3, 100], rtol=0.2)
        np.testing.assert_allclose(array.std(0), [2, 1, 30], rtol=0.2)


def numbers_of(model):
    def run(inputs):
        return [], [np.asarray(o) for o in tf.nest.flatten(model(inputs))]

    (array,) = random_inputs(model, 2, run)
    return array, np.asarray(model(array))


DOMAINS = {
    "log": lambda x: tf.math.log(x + 1e-6),
    "sqrt": tf.sqrt,
    "root": lambda x: x**0.5,
    "rsqrt": tf.math.rsqrt,
    "log of the negative": lambda x: tf.math.log(-x),
    "log of a difference": lambda x: tf.math.log(x - 50.0),
    "log of a sum": lambda x: tf.math.log(x + 0.2),
    "acosh": tf.math.acosh,
    "asin": tf.math.asin,
    "atanh": tf.math.atanh,
    "indices plus one": lambda x: embedded(50)(x + 1),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_operators_get_numbers_that_they_take(name):
    _, outputs = numbers_of(packed(DOMAINS[name], (6,)))
    assert np.isfinite(outputs).all()


def test_integer_inputs_get_integers():
    for dtype, largest in (("uint8", 255), ("int32", 1), ("bool", 1)):
        model = packed(lambda x: tf.cast(x, "float32"), (40,), dtype=dtype)
        (array,) = first_tried(model)
        assert array.dtype == dtype
        assert int(array.max()) == largest


def out_of_reach():
    return packed(lambda x: tf.math.log(x - 1e6), (6,))


def test_data_is_asked_for_where_random_numbers_will_not_do(tmp_path):
    model = out_of_reach()
    file = tmp_path / "net.onnx"
    message = r"takes others: it gives NaN[\s\S]*Fix: .*data=x\).*--data FILE"
    with pytest.raises(ArgumentError, match=message):
        lq.deploy.export(model, file)
    assert not list(tmp_path.iterdir())
    x = 2e6 + np.arange(240, dtype=np.float32).reshape(40, 6)
    report = lq.deploy.export(model, file, data=x)
    assert report.path == file
    found = larqlite_runtime.load(file)(x)
    np.testing.assert_allclose(found, model(x), atol=1e-5)
    assert lq.deploy.verify(model, file, x, stock=False).exact
    with pytest.raises(ArgumentError, match=r"verify: .*\n.*verify\(model, path, x\)"):
        lq.deploy.verify(model, file)


@pytest.mark.parametrize("form", ["pair", "dictionary", "dataset", "generator"])
def test_export_takes_data_in_every_form(form, tmp_path, monkeypatch):
    from larqlite.deploy.verifier import _run

    model = out_of_reach()
    x = 2e6 + np.arange(240, dtype=np.float32).reshape(40, 6)
    data = {
        "pair": (x, np.zeros(40)),
        "dictionary": {model.input_names[0]: x},
        "dataset": tf.data.Dataset.from_tensor_slices((x, x)).batch(40),
        "generator": (x[i : i + 9] for i in range(0, 40, 9)),
    }[form]
    results = []
    result = _run.EngineReport.result
    monkeypatch.setattr(
        _run.EngineReport,
        "result",
        lambda *args: results.append(result(*args)) or results[-1],
    )
    lq.deploy.export(model, tmp_path / "net.onnx", data=data)
    assert [found.samples for found in results] == [16]


def test_inputs_and_outputs_may_be_dictionaries(tmp_path):
    inputs = {name: tf_keras.Input((4,), name=name) for name in ("z", "a")}
    x = K.Concatenate()([embedded(6)(inputs["z"]), tf.sqrt(inputs["a"])])
    model = tf_keras.Model(inputs, {"y": lq.layers.QuantDense(3, **BINARY)(x), "b": x})
    with_random_weights(model)
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file)
    assert lq.deploy.verify(model, file, stock=False).exact
    rng = np.random.default_rng(0)
    x = {"a": rng.random((5, 4)), "z": rng.integers(0, 6, (5, 4))}
    x = {name: array.astype(np.float32) for name, array in x.items()}
    assert lq.deploy.verify(model, file, x, stock=False).exact
    lq.deploy.export(model, file, data=x)


def test_data_that_the_model_does_not_take_are_refused_by_name(tmp_path):
    file = tmp_path / "net.onnx"
    model = packed(embedded(50), (6,))
    with pytest.raises(ArgumentError, match=r"not run on the data: .*-1 is not in"):
        lq.deploy.export(model, file, data=np.full((4, 6), -1, np.float32))
    model = packed(tf.math.log, (6,))
    with pytest.raises(ArgumentError, match="gives NaN on all of the data"):
        lq.deploy.export(model, file, data=-np.ones((4, 6)))
    with pytest.raises(ArgumentError, match=r"\(4, 5\)"):
        lq.deploy.export(model, file, data=np.zeros((4, 5)))
    with pytest.raises(ArgumentError, match="no samples"):
        lq.deploy.export(model, file, data=np.zeros((0, 6)))
    with pytest.raises(ArgumentError, match="verify=False compares nothing"):
        lq.deploy.export(model, file, data=np.zeros((4, 6)), verify=False)
    assert not list(tmp_path.iterdir())


def test_a_message_of_tensorflow_is_told_in_short():
    model = packed(embedded(50), (6,))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        model(np.full((1, 6), 77, np.float32))
    text = in_short(caught.value)
    assert text.endswith("indices[0,0] = 77 is not in [0, 50)")
    assert "\n" not in text


def test_counts_and_tolerances_are_checked(tmp_path):
    model = packed(K.Dense(8), (4,))
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file, verify=False)
    x = np.zeros((3, 4), np.float32)
    for name in ("batch_size", "samples"):
        for value in (0, -1, 2.5, True, None, "8", float("nan")):
            with pytest.raises(ArgumentError, match=rf"{name}=.* is no count\.\n  Fix"):
                lq.deploy.verify(model, file, x, **{name: value})
    for name in ("tolerance", "absolute_tolerance"):
        for value in (-1e-3, float("nan"), None, "1", True, 2):
            with pytest.raises(ArgumentError, match=rf"{name}=.* is no tolerance"):
                lq.deploy.verify(model, file, x, **{name: value})
    assert lq.deploy.verify(model, file, x, batch_size=np.int64(2), stock=False).ok
    for write in (lq.deploy.export, lq.deploy.to_qonnx):
        for path in (io.BytesIO(), None, 3.5):
            with pytest.raises(ArgumentError, match="is no path of a file"):
                write(model, path)


def test_factors_of_a_normalization_that_are_infinite_are_refused(tmp_path, recwarn):
    norm = K.BatchNormalization(epsilon=0, name="norm")
    model = packed(norm, (3,))
    norm.moving_variance.assign([0.0, 1, 0])
    message = r'"norm": 2 of its 3 channels are divided by .* = 0.*\n  Fix: an epsilon'
    with pytest.raises(UnsupportedLayerError, match=message):
        lq.deploy.export(model, tmp_path / "net.onnx")
    norm.moving_variance.assign([1.0, np.nan, 1])
    with pytest.raises(UnsupportedLayerError, match=r"NaN.*\n  Fix: load weights"):
        lq.deploy.export(model, tmp_path / "net.onnx")
    norm.moving_variance.assign([1.0, 2, 1])
    lq.deploy.export(model, tmp_path / "net.onnx")
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_layer_that_makes_integers_is_refused_with_a_fix_that_works(tmp_path):
    bins = K.Discretization(bin_boundaries=[-1.0, 0.0, 1.0], name="bins")
    rest = [K.Embedding(4, 3), K.Flatten(), lq.layers.QuantDense(2, **BINARY)]
    model = tf_keras.Sequential([tf_keras.Input((3,)), bins, *rest])
    file = tmp_path / "net.onnx"
    message = r'"bins": it makes integers .*\n  Fix: apply it to the data'
    with pytest.raises(UnsupportedLayerError, match=message):
        lq.deploy.export(model, file)
    behind = tf_keras.Sequential([tf_keras.Input((3,)), *rest])
    lq.deploy.export(behind, file)
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    indices = bins(x).numpy().astype(np.float32)
    found = larqlite_runtime.load(file)(indices)
    np.testing.assert_allclose(found, model(x), atol=1e-5)


class Endless(tf_keras.utils.Sequence):
    """As those of ImageDataGenerator: it has a length, but its iterator has no end."""

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return np.full((4, 4), number, np.float32), np.zeros(4)

    def __iter__(self):
        return self

    def __next__(self):
        return self[0]


def test_sequences_end_and_what_is_no_data_is_refused(tmp_path):
    model = packed(K.Dense(8), (4,))
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file, data=Endless())
    assert lq.deploy.verify(model, file, Endless(), stock=False).samples == 12
    endless = tf.data.Dataset.from_tensors(np.zeros((2, 4), np.float32)).repeat()
    for data, why in (
        (endless, r"without an end.*\n  Fix: .*data\.take\(100\)"),
        ("words", "is no data"),
        (7, "is no data"),
        (np.array(["a"]), "an array of <U1 is no data"),
        (np.array([None, 1]), "an array of object is no data"),
    ):
        with pytest.raises(ArgumentError, match=why):
            lq.deploy.verify(model, file, data)
    found = lq.deploy.verify(model, file, endless.take(2), stock=False)
    assert found.samples == 4


@pytest.mark.parametrize("join", [tf.add, tf.subtract, tf.multiply, tf.divide])
def test_an_input_that_is_joined_with_another_tensor_has_no_stated_domain(join):
    """Whose other operand is no number yet."""
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, join(x, 1 + tf.abs(K.Dense(4)(x))))
    (array,) = first_tried(model)
    assert np.abs(array).max() < 10
