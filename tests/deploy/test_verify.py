"""`lq.deploy.verify`: what it says of sound files, what it takes, and that export uses it."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite.deploy.verifier import _run
from larqlite.errors import ArgumentError, MissingFileError
from tests.deploy.keras_and_file import export, with_random_weights
from tests.deploy.verified_network import BINARY, network


@pytest.fixture(scope="module")
def model():
    """Read only."""
    return network()


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """Read only."""
    path = tmp_path_factory.mktemp("verified") / "net.onnx"
    export(model, path)
    return path


def test_a_sound_file_is_exact_layer_by_layer_and_as_a_whole(model, file):
    x = np.random.default_rng(0).normal(size=(7, 8, 8, 3)).astype(np.float32)
    result = lq.deploy.verify(model, file, x, batch_size=3)
    assert result.ok
    assert result.samples == 7
    assert [row.layer for row in result.layers] == ["first", "second", "third", "last"]
    for row in (*result.layers, *result.stock.layers):
        assert row.bit_exact
        assert row.quantized.different == row.accumulators.different == 0
        assert row.output.relative < 1e-6
    assert [row.accumulators.values for row in result.layers] == [
        7 * 6 * 6 * channels for channels in (32, 32, 16)
    ] + [7 * 10]
    assert [row.next_flips and row.next_flips.values for row in result.layers] == [
        7 * 36 * 32,
        7 * 36 * 32,
        7 * 36 * 16,
        None,
    ]
    (output,) = result.outputs
    assert (output.labels, output.agreeing) == (7, 7)
    keras = model(x).numpy()
    found = larqlite_runtime.load(file)(x)
    assert output.values.largest == pytest.approx(np.abs(keras - found).max())


def test_the_table_shows_every_layer_and_the_path_that_ran_it(model, file):
    result = lq.deploy.verify(model, file)
    lines = str(result).splitlines()
    path = {row.path for row in result.layers}
    assert path <= {"AMX", "AVX-512", "AVX2", "NEON", "portable", "numpy"}
    for row in result.layers:
        (line,) = [line for line in lines if line.startswith(f"| {row.layer} ")]
        assert row.class_name in line
        assert row.operation in line
        assert line.count("bit-exact") == 2
        assert line.rstrip(" |").endswith("exact")
    assert "4 of 4 labels agree" in str(result)
    printed = []
    result.print(printed.append)
    assert printed == [str(result)]


def test_the_result_is_data_that_json_knows(model, file):
    result = lq.deploy.verify(model, file, stock=False)
    data = json.loads(json.dumps(result.to_dict()))
    assert data["ok"] is True
    assert data["stock"] is None
    assert data["layers"][0]["accumulators"] == {
        "values": 4 * 36 * 32,
        "different": 0,
        "unexplained": 0,
        "largest": 0.0,
        "relative": 0.0,
        "undefined": 0,
        "ties": 0,
    }


def test_every_use_of_a_shared_layer_and_a_nested_model_is_a_row(tmp_path):
    shared = lq.layers.QuantDense(16, name="shared", **BINARY)
    inner_input = tf_keras.Input((16,))
    inner = tf_keras.Model(
        inner_input,
        tf_keras.layers.BatchNormalization()(
            lq.layers.QuantDense(16, name="dense", **BINARY)(inner_input)
        ),
        name="inner",
    )
    inputs = [tf_keras.Input((12,), name=name) for name in ("left", "right")]
    x = [inner(shared(tensor)) for tensor in inputs]
    model = tf_keras.Model(inputs, [*x, tf_keras.layers.Add()(x)])
    with_random_weights(model)
    export(model, tmp_path / "net.onnx")
    rng = np.random.default_rng(5)
    data = {n: rng.normal(size=(6, 12)).astype(np.float32) for n in ("right", "left")}
    result = lq.deploy.verify(model, tmp_path / "net.onnx", data)
    assert result.ok
    paths = [row.layer for row in result.layers]
    assert sorted(paths) == ["inner/dense"] * 2 + ["shared"] * 2
    assert [output.labels for output in result.outputs] == [6, 6, 6]


def test_data_come_as_arrays_pairs_batches_and_datasets(tmp_path):
    inputs = tf_keras.Input((5,), name="image")
    layer = lq.layers.QuantDense(4, name="layer", **BINARY)
    model = with_random_weights(tf_keras.Model(inputs, layer(inputs)))
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file, verify=False)
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    labels = np.zeros(6)
    for data in (
        x,
        x.astype("float64"),
        tf.constant(x),
        (x, labels),
        {"image": x},
        [x[:4], x[4:]],
        ((part, labels[:3]) for part in (x[:3], x[3:])),
        tf.data.Dataset.from_tensor_slices((x, labels)).batch(4),
    ):
        result = lq.deploy.verify(model, file, data, stock=False)
        assert result.ok
        assert result.samples == 6


def test_a_file_without_packed_layers_is_compared_as_a_whole(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    with_random_weights(model)
    export(model, tmp_path / "net.onnx")
    result = lq.deploy.verify(model, tmp_path / "net.onnx")
    assert result.ok
    assert result.layers == ()
    assert result.before.values == 4 * 3
    assert "no packed layers" in str(result)
    other = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(3)])
    assert not lq.deploy.verify(other, tmp_path / "net.onnx").exact


def test_a_large_network_is_compared_a_few_samples_at_a_time(model, file, monkeypatch):
    whole = lq.deploy.verify(model, file, samples=7)
    # Inputs and outputs of the four packed layers
    values = 36 * (32 + 32 + 32 + 32 + 32 + 16) + 36 * 16 + 10
    monkeypatch.setattr(_run, "MOST_VALUES", 2 * values)
    sizes = []
    reference = _run.Reference.__call__

    def counted(self, inputs):
        sizes.append(len(inputs[0]))
        return reference(self, inputs)

    monkeypatch.setattr(_run.Reference, "__call__", counted)
    in_pieces = lq.deploy.verify(model, file, samples=7)
    assert sizes == [2, 2, 2, 1]
    assert in_pieces.ok
    for one, two in zip(whole.layers, in_pieces.layers, strict=True):
        assert one.accumulators == two.accumulators
        assert one.output.values == two.output.values


def test_a_loaded_model_is_verified_as_it_was_loaded(model, file):
    loaded = larqlite_runtime.load(file, threads=1, isa="portable")
    result = lq.deploy.verify(model, loaded, stock=False)
    assert result.ok
    assert {row.path for row in result.layers} <= {"portable", "numpy"}
    assert lq.deploy.verify(model, file.read_bytes(), stock=False).ok


def test_the_model_is_left_as_it_was(model, file):
    before = [variable.numpy() for variable in model.weights]
    layer = model.get_layer("first")
    activation, nodes = layer.activation, len(layer.inbound_nodes)
    lq.deploy.verify(model, file, stock=False)
    assert layer.activation is activation
    assert len(layer.inbound_nodes) == nodes
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_files_of_another_model_and_no_files_are_refused(model, file, tmp_path):
    other = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), lq.layers.QuantConv2D(2, 3, name="one", **BINARY)]
    )
    with pytest.raises(ArgumentError, match=r'"first"[\s\S]*Fix: verify a file with'):
        lq.deploy.verify(other, file)
    with pytest.raises(MissingFileError, match=r"nothing\.onnx"):
        lq.deploy.verify(model, tmp_path / "nothing.onnx")
    with pytest.raises(ArgumentError, match="int is no file"):
        lq.deploy.verify(model, 3)
    with pytest.raises(ArgumentError, match=r"lq\.deploy\.verify: .*"):
        lq.deploy.verify(model, b"no file at all")
    with pytest.raises(ArgumentError, match="no samples"):
        lq.deploy.verify(model, file, [])
    with pytest.raises(ArgumentError, match=r"\(6, 8, 8, 4\)"):
        lq.deploy.verify(model, file, np.zeros((6, 8, 8, 4), np.float32))


def test_a_file_of_a_model_with_other_weights_departs(model, file):
    result = lq.deploy.verify(network(kernel_quantizer="ste_tern"), file, stock=False)
    assert not result.ok
    assert "first" in result.wrong


def test_export_verifies_and_leaves_no_file_if_a_layer_is_wrong(
    model, tmp_path, monkeypatch
):
    from larqlite.onnx_graph import _packing

    path = tmp_path / "net.onnx"
    lq.deploy.export(model, path)
    before = path.read_bytes()
    pack = _packing.pack_codes

    def wrong_pack(codes, bits):
        packed = pack(codes, bits)
        packed[0] ^= 1
        return packed

    monkeypatch.setattr(_packing, "pack_codes", wrong_pack)
    message = (
        r"(?s)lq\.deploy\.export: .*WRONG: first, second.*Fix: no file was written"
    )
    with pytest.raises(lq.deploy.VerificationError, match=message):
        lq.deploy.export(model, path)
    assert path.read_bytes() == before
    with pytest.raises(lq.deploy.VerificationError):
        lq.deploy.export(model, tmp_path / "new.onnx")
    assert list(tmp_path.iterdir()) == [path]
    lq.deploy.export(model, path, verify=False)
    assert path.read_bytes() != before


def test_export_says_what_the_runtime_refuses(tmp_path):
    class Odd(tf_keras.layers.Layer):
        def call(self, inputs):
            return inputs

    @lq.deploy.converter(Odd)
    def convert_odd(graph, layer, value):
        name = graph.node("Odd", [value.name], name="odd", domain="elsewhere")
        return graph.value(name, value.shape, like=value)

    model = tf_keras.Sequential([tf_keras.Input((4,)), Odd()])
    message = r"(?s)lq\.deploy\.export: larqlite_runtime cannot run.*elsewhere.*Fix:"
    with pytest.raises(lq.deploy.VerificationError, match=message):
        lq.deploy.export(model, tmp_path / "odd.onnx")
    assert not list(tmp_path.iterdir())
