"""Models of every shape: nested, shared, with several inputs and outputs, made of operators."""

import numpy as np
import onnx
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import (
    ArgumentError,
    UnbuiltModelError,
    UnsupportedLayerError,
    UnsupportedModelError,
)
from tests.deploy.inside_a_file import metadata, tensors
from tests.deploy.keras_and_file import (
    assert_same,
    export,
    random_inputs,
    sequential,
    with_random_weights,
)

K = tf_keras.layers


def conv(filters=4, **arguments):
    defaults = {
        "kernel_size": 3,
        "padding": "same",
        "pad_values": 1.0,
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "use_bias": False,
    }
    return lq.layers.QuantConv2D(filters, **defaults | arguments)


def block(name, filters=4):
    x = inputs = tf_keras.Input((6, 6, filters))
    x = K.BatchNormalization(name="norm")(conv(filters, name="conv")(x))
    return tf_keras.Model(inputs, x + inputs, name=name)


def test_nested_models_unfold_with_the_paths_of_the_summary(tmp_path):
    model = sequential((6, 6, 4), block("first"), block("second"), conv(name="last"))
    assert_same(model)
    path = tmp_path / "model.onnx"
    report = export(model, path)
    paths = [row.layer for row in report.packed]
    assert paths == ["first/conv", "second/conv", "last"]
    assert set(paths) <= {row.path for row in lq.models.profile(model).layers}
    assert set(paths) <= {node.name for node in onnx.load(path).graph.node}


def test_a_nested_model_takes_its_inputs_by_name_or_in_order():
    a, b = tf_keras.Input((6, 6, 4), name="a"), tf_keras.Input((6, 6, 4), name="b")
    inner = tf_keras.Model([a, b], conv()(a) - 2 * conv()(b), name="inner")
    for call in (
        lambda x, y: inner([x, y]),
        lambda x, y: inner({"b": y, "a": x}),
        lambda x, y: inner((x, y)),
    ):
        x, y = tf_keras.Input((6, 6, 4)), tf_keras.Input((6, 6, 4))
        assert_same(with_random_weights(tf_keras.Model([x, y], call(x, y))))


def test_a_shared_layer_is_stored_once_and_used_each_time(tmp_path):
    shared, norm = conv(name="shared"), K.BatchNormalization()
    x = inputs = tf_keras.Input((6, 6, 4))
    for _ in range(3):
        x = norm(shared(x))
    model = with_random_weights(tf_keras.Model(inputs, x))
    assert_same(model)
    report = export(model, tmp_path / "model.onnx")
    assert [row.layer for row in report.packed] == ["shared"] * 3
    file = onnx.load(tmp_path / "model.onnx")
    nodes = [node for node in file.graph.node if node.op_type == "BConv2D"]
    assert len({node.input[1] for node in nodes}) == 1
    assert len({node.name for node in nodes}) == 3
    entries = metadata(tmp_path / "model.onnx")["larqlite.layers"]
    assert [entry["node"] for entry in entries] == [node.name for node in nodes]


def test_a_shared_layer_whose_inputs_hold_other_levels_has_a_scale_for_each_use():
    shared = conv(input_quantizer=None, pad_values=0.0)
    x = inputs = tf_keras.Input((6, 6, 4))
    signs = shared(lq.quantizers.SteSign()(x))
    steps = shared(lq.quantizers.DoReFa(3)(signs))
    model = with_random_weights(tf_keras.Model(inputs, [steps, shared(x)]))
    operations = assert_same(model)
    assert {"BConv2D", "QConv2D", "Conv"} <= set(operations)


def test_a_kernel_that_two_layers_hold_is_stored_once():
    first, second = conv(), conv()
    x = inputs = tf_keras.Input((6, 6, 4))
    model = tf_keras.Model(inputs, second(first(x)))
    second.kernel = first.kernel
    second._trainable_weights = [first.kernel]
    with_random_weights(model)
    report_bytes = lq.models.profile(model).deployed_bytes
    assert report_bytes == 3 * 3 * 4 * 4 // 8
    assert_same(model)


def test_names_order_and_layout_of_inputs_and_outputs_are_those_of_keras(tmp_path):
    left = tf_keras.Input((6, 4, 3), name="left")
    right = tf_keras.Input((5,), name="right")
    x = conv(7, name="image")(left)
    y = lq.layers.QuantDense(2, kernel_quantizer="ste_sign", name="vector")(right)
    model = tf_keras.Model([right, left], [x, y])
    assert_same(model)
    path = tmp_path / "model.onnx"
    export(model, path)
    graph = onnx.load(path).graph

    def shape(info):
        sizes = info.type.tensor_type.shape.dim
        return [size.dim_param or size.dim_value for size in sizes]

    assert [(info.name, shape(info)) for info in graph.input] == [
        ("right", ["batch", 5]),
        ("left", ["batch", 6, 4, 3]),
    ]
    assert [(info.name, shape(info)) for info in graph.output] == [
        ("image", ["batch", 6, 4, 7]),
        ("vector", ["batch", 2]),
    ]


def test_outputs_may_repeat_and_may_be_inputs_or_inner_tensors(tmp_path):
    inputs = tf_keras.Input((6, 6, 4), name="x")
    inner = conv(name="inner")(inputs)
    outer = conv(name="outer")(inner)
    model = tf_keras.Model(inputs, [outer, inner, inner, inputs])
    x = random_inputs(model)[0]
    export(model, tmp_path / "model.onnx")
    found = list(tensors(tmp_path / "model.onnx", x).values())
    for output, expected in zip(found, model(x), strict=True):
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_the_batch_is_open_also_in_a_model_that_fixes_it(batch, tmp_path):
    inputs = tf_keras.Input(batch_shape=(4, 6, 6, 4))
    x = K.Flatten()(conv()(inputs))
    fixed = with_random_weights(tf_keras.Model(inputs, K.Dense(3)(x)))
    export(fixed, tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(batch, 6, 6, 4)).astype(np.float32)
    (found,) = tensors(tmp_path / "model.onnx", x).values()
    assert found.shape == (batch, 3)


def test_the_metadata_tells_the_tensors_around_each_packed_layer(tmp_path):
    layers = [
        conv(name="bare"),
        conv(name="scaled", kernel_quantizer="magnitude_aware_sign"),
        conv(name="biased", use_bias=True, activation="relu"),
        K.BatchNormalization(name="norm"),
        conv(name="folded", kernel_quantizer="magnitude_aware_sign"),
        K.BatchNormalization(name="after"),
    ]
    model = sequential((6, 6, 4), *layers)
    path = tmp_path / "model.onnx"
    export(model, path)
    entries = {entry["layer"]: entry for entry in metadata(path)["larqlite.layers"]}
    x = random_inputs(model)[0]
    names = {
        entry[key]
        for entry in entries.values()
        for key in ("input", "quantized", "accumulator", "output")
        if entry[key]
    } - {model.input_names[0]}
    found = tensors(path, x, names) | {model.input_names[0]: np.moveaxis(x, -1, 1)}
    for layer in model.layers:
        entry = entries.get(layer.name)
        if entry is None:
            continue
        assert entry["class"] == "QuantConv2D"
        assert entry["weight_bits"] == 1
        assert entry["output_layout"] == "channels_last"
        before, quantized, sums = (
            found[entry[key]] for key in ("input", "quantized", "accumulator")
        )
        np.testing.assert_array_equal(quantized, np.where(before < 0, -1, 1))
        np.testing.assert_array_equal(sums, np.rint(sums))
        if layer.name == "folded":
            assert entry["output"] is None
            continue
        keras = layer(np.moveaxis(before, 1, -1)).numpy()
        output = np.moveaxis(found[entry["output"]], 1, -1)
        np.testing.assert_allclose(output, keras, rtol=1e-6, atol=1e-5)


# What is refused.


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = K.Dense(2)

    def call(self, x):
        return self.layer(x)


class Doubling(K.Layer):
    def call(self, x):
        return 2 * x


class Louder(lq.layers.QuantDense):
    def call(self, x):
        return 2 * super().call(x)


def refused(model, error, *texts):
    with pytest.raises(error) as raised:
        export(model)
    message = str(raised.value)
    for text in (*texts, "Fix:", "lq.deploy.export"):
        assert text in message


def test_models_that_no_graph_describes_are_refused():
    model = Subclassed()
    model(np.ones((1, 3), np.float32))
    refused(model, UnsupportedModelError, "Subclassed", "tf_keras.Model(inputs")
    refused(tf_keras.Sequential([K.Dense(2)]), UnbuiltModelError, "tf_keras.Input")
    refused(K.Dense(2), ArgumentError, "Dense", "Sequential")
    refused("model.h5", ArgumentError, "lq.models.load")


def test_sizes_and_dtypes_that_a_file_cannot_have_are_refused():
    inputs = tf_keras.Input((None, None, 3), name="image")
    model = tf_keras.Model(inputs, conv()(inputs))
    refused(model, UnsupportedModelError, '"image"', "tf_keras.Input((32, 32, 3))")
    inputs = tf_keras.Input((4,), dtype="int32", name="words")
    model = tf_keras.Model(inputs, K.Embedding(5, 2)(inputs))
    refused(model, UnsupportedModelError, '"words"', 'dtype="float32"')


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_other_compute_dtypes_are_refused(policy):
    inputs = tf_keras.Input((6, 6, 4), dtype="float32")
    model = tf_keras.Model(inputs, conv(dtype=policy, name="low")(inputs))
    texts = ('"low"', model.layers[-1].compute_dtype, "set_weights")
    refused(model, UnsupportedLayerError, *texts)


def test_a_layer_without_a_converter_is_refused_with_the_way_out():
    texts = ('Doubling "twice"', "@lq.deploy.converter(Doubling)")
    refused(sequential((4,), Doubling(name="twice")), UnsupportedLayerError, *texts)
    texts = ('Louder "loud"', "overrides `call`", "@lq.deploy.converter(Louder)")
    refused(sequential((4,), Louder(3, name="loud")), UnsupportedLayerError, *texts)
    local = lq.layers.QuantLocallyConnected2D(2, 3, name="local")
    texts = ('QuantLocallyConnected2D "local"', "QuantConv")
    refused(sequential((6, 6, 3), local), UnsupportedLayerError, *texts)


def test_a_layer_that_is_called_in_training_mode_is_refused():
    inputs = tf_keras.Input((4,))
    dropped = K.Dropout(0.5, name="drop")(inputs, training=True)
    model = tf_keras.Model(inputs, dropped)
    refused(model, UnsupportedLayerError, '"drop"', "training=True")
    nested = tf_keras.Sequential([inputs, K.Dropout(0.5)], name="inside")
    model = tf_keras.Model(inputs, nested(inputs, training=True))
    refused(model, UnsupportedLayerError, '"inside"', "training=True")
    assert_same(tf_keras.Model(inputs, nested(inputs, training=False)))


def test_nan_in_any_weight_is_refused():
    model = sequential((4,), K.Dense(2, name="head"))
    model.layers[0].set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    refused(model, UnsupportedModelError, '"head/kernel"', "NaN")


def test_a_layer_of_ones_own_can_be_taught():
    @lq.deploy.converter(Doubling)
    def convert(graph, layer, value):
        name = graph.node("Add", [value.name, value.name], name=graph.path)
        return graph.value(name, value.shape, like=value)

    assert_same(sequential((6, 6, 4), conv(), Doubling(), conv()))

    @lq.deploy.converter(Doubling)
    def convert_wrongly(graph, layer, value):
        name = graph.node("Add", [value.name, value.name], name=graph.path)
        return graph.value(name, (None, 1, 2, 3), like=value)

    model = sequential((6, 6, 4), Doubling(), K.ReLU())
    refused(model, UnsupportedModelError, "not valid ONNX", "graph.value()")


def test_only_layers_and_functions_can_be_taught():
    with pytest.raises(ArgumentError, match="not a class of tf_keras layers"):
        lq.deploy.converter("QuantDense")
    with pytest.raises(ArgumentError, match="neither a class of quantizers"):
        lq.deploy.activation_converter(int)
