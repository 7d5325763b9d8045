"""QONNX for hls4ml and for FINN: what is in the files, and what is refused."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections import Counter

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, seed, settings

import larqlite as lq
from larqlite.deploy.qonnx._grid import on_grid

if sys.version_info < (3, 11):
    pytest.skip("qonnx asks for an older onnx there", allow_module_level=True)

from tests.deploy.fpga_networks import NETWORKS, inputs_of, integers_of
from tests.deploy.keras_and_file import random_inputs, with_random_weights
from tests.deploy.random_networks import networks

L, Q = tf_keras.layers, lq.layers
CHANNELS_LAST = "qonnx.custom_op.channels_last"
SAMPLES = 3
REFUSALS = (lq.errors.UnsupportedLayerError, lq.errors.UnsupportedModelError)
# FINN has hardware for two axes, and hls4ml compares what others than Keras compute.
FOR_FINN = [name for name in NETWORKS if name != "sequences"]


@functools.cache
def model_of(name: str) -> tf_keras.Model:
    """Read only."""
    return NETWORKS[name]()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Files by network and tool; read only."""

    @functools.cache
    def made(name: str, tool: str) -> onnx.ModelProto:
        path = tmp_path_factory.mktemp("qonnx") / "m.onnx"
        made = lq.deploy.to_qonnx(model_of(name), path, for_=tool, batch_size=SAMPLES)
        assert onnx.load(path) == made
        return made

    return made


def executed(
    file: onnx.ModelProto, x: np.ndarray, name: str = "x"
) -> dict[str, np.ndarray]:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    return execute_onnx(ModelWrapper(file), {name: x}, return_full_exec_context=True)


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        *((name, "hls4ml") for name in NETWORKS),
        *((name, "finn") for name in FOR_FINN),
    ],
)
def test_a_file_computes_what_keras_does_and_sums_its_integers(name, tool, written):
    model, file = model_of(name), written(name, tool)
    x = inputs_of(model, SAMPLES)
    found = executed(file, x)
    expected = model.predict(x, verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    for output, keras in zip(file.graph.output, expected, strict=True):
        close = 2e-6 * np.abs(keras).max()
        np.testing.assert_allclose(found[output.name], keras, rtol=0, atol=close)
    nodes = {node.name: node for node in file.graph.node}
    for layer, sums in integers_of(model, x).items():
        array = found[nodes[layer].output[0]]
        is_first = tool == "finn" and array.ndim > 2
        array = np.moveaxis(array, 1, -1) if is_first else array
        np.testing.assert_array_equal(array, sums, err_msg=layer)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_for_hls4ml_has_what_its_reader_asks_for(name, written):
    file = written(name, "hls4ml")
    constants = {tensor.name for tensor in file.graph.initializer}
    known = {info.name for info in (*file.graph.value_info, *file.graph.input)}
    known |= {output.name for output in file.graph.output}
    read = [tensor for node in file.graph.node for tensor in node.input]
    assert sorted(tensor for tensor in read if tensor in constants) == sorted(constants)
    producers = {tensor: node for node in file.graph.node for tensor in node.output}
    for node in file.graph.node:
        assert re.fullmatch(r"[A-Za-z_]\w*", node.name)
        assert {*node.input, *node.output} <= known
        if node.op_type in ("Conv", "MaxPool"):
            assert node.domain == CHANNELS_LAST
        assert node.op_type not in ("Transpose", "Neg", "IntQuant", "Clip", "Round")
        if node.op_type == "BipolarQuant":
            before = producers.get(node.input[0])
            # A threshold would be made of the two, for positive scales only.
            assert before is None or before.op_type not in ("BatchNormalization", "Mul")
        if node.op_type in ("Conv", "MatMul"):
            kernel = producers.get(node.input[1])
            assert kernel is None or kernel.op_type == "Quant"
    assert {entry.domain: entry.version for entry in file.opset_import}[""] == 18


def test_types_that_hls4ml_is_told_hold_all_sums_and_offsets(written):
    model, file = model_of("zeros"), written("zeros", "hls4ml")
    told = {entry.key: entry.value for entry in file.metadata_props}
    told = json.loads(told["larqlite.hls4ml"])
    assert told["sums"]["conv_1"] == ["conv_1", 6, 6, 4]
    types = {name: layer["Precision"] for name, layer in told["layers"].items()}
    # 36 products of signs; 4 times 3 times 3 pixels in the pooled image.
    assert types["conv_1"]["accum"] == "fixed<7,7>"
    assert types["dense"]["result"] == "fixed<7,7>"
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    norm = next(node for node in file.graph.node if node.name == "norm_1")
    scale, offset = (stored[name] for name in norm.input[1:3])
    # Levels two apart: an odd number is above or below 0, never on it. The scale of the
    # first channel is 0 in Keras, so its sign is that of the offset.
    np.testing.assert_array_equal(np.abs(scale), 2)
    np.testing.assert_array_equal(np.abs(offset[1:]) % 2, 1)
    assert np.abs(offset[0]) > 2 * 36
    whole = int(re.fullmatch(r"fixed<(\d+),\1>", types["norm_1"]["bias"])[1])
    assert np.abs(offset).max() < 2 ** (whole - 1)
    assert len(model.outputs) == len(told["outputs"]) == 1


KINDS = {
    "sign": ((-1, 2), lambda v: v >= 0, 2, 2.0),
    "ternary": ((-1, 1), lambda v: 1 + (v >= 0.05) - (v <= -0.05), 3, 10.0),
    "steps": ((0, 1), lambda v: np.rint(np.clip(v, 0, 1) * 7), 8, 7.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_scale_and_offset_on_a_grid_quantize_every_sum_as_floats_do(kind):
    (lowest, step), codes, levels, in_one = KINDS[kind]
    rng = np.random.default_rng(5)
    for _ in range(200):
        largest = rng.integers(1, 300, 6)
        scale = rng.normal(0, 1, 6) * 10.0 ** rng.uniform(-3, 0.5)
        scale[0], offset = 0, rng.normal(0, 2, 6)
        direction = np.where(scale >= 0, 1, -1)
        first = np.empty((levels - 1, 6), int)
        expected = []
        for channel in range(6):
            sums = np.arange(-largest[channel], largest[channel] + 1)
            values = codes(scale[channel] * sums + offset[channel]).astype(int)
            expected.append((sums, lowest + step * values))
            rising = values[:: direction[channel]]
            for level in range(1, levels):
                reached = np.nonzero(rising >= level)[0]
                first[level - 1, channel] = (
                    sums[reached[0]] if len(reached) else largest[channel] + 1
                )
        found = on_grid(first, largest, direction, np.abs(scale) * in_one, lowest, step)
        unit = 2.0**-found.fraction_bits
        for array in (found.scale, found.offset):
            np.testing.assert_array_equal(array, np.rint(array / unit) * unit)
        for channel, (sums, values) in enumerate(expected):
            affine = found.scale[channel] * sums + found.offset[channel]
            last = lowest + step * (levels - 1)
            np.testing.assert_array_equal(
                np.clip(np.rint(affine), lowest, last), values
            )


def _image_model(layer, shape=(6, 6, 4)) -> tf_keras.Model:
    inputs = L.Input(shape, name="x")
    return tf_keras.Model(inputs, layer(inputs))


def test_names_of_outputs_are_those_of_keras_where_a_layer_becomes_two_nodes(tmp_path):
    model = tf_keras.Sequential([L.Input((3,), name="x"), L.Dense(2, name="labels")])
    made = lq.deploy.to_qonnx(model, tmp_path / "m.onnx", for_="hls4ml")
    assert [output.name for output in made.graph.output] == ["labels"]
    x = np.array([[1, -2, 3]], np.float32)
    np.testing.assert_allclose(executed(made, x)["labels"], model(x), rtol=1e-6)


def test_names_that_are_one_in_c_stay_two(tmp_path):
    inputs = L.Input((3,), name="x")
    x = Q.QuantDense(4, name="a.b", **SIGNS)(L.BatchNormalization(name="n")(inputs))
    x = Q.QuantDense(2, name="a_b", **SIGNS)(L.BatchNormalization(name="m")(x))
    made = lq.deploy.to_qonnx(
        tf_keras.Model(inputs, x), tmp_path / "m.onnx", for_="hls4ml"
    )
    names = [node.name for node in made.graph.node]
    assert len({*names}) == len(names)
    told = {entry.key: entry.value for entry in made.metadata_props}
    told = json.loads(told["larqlite.hls4ml"])
    assert told["sums"] == {"a_b": ["a.b", 4], "a_b_2": ["a_b", 2]}
    assert {"a_b", "a_b_2"} <= {*told["layers"]} <= {*names}


SIGNS = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}
REFUSED = {
    "relu_6": (lambda: L.ReLU(6.0), (6, 6, 4), "Clip"),
    "sigmoid": (lambda: L.Activation("sigmoid"), (4,), "Sigmoid from a table"),
    "dilated": (
        lambda: Q.QuantConv2D(4, 3, dilation_rate=2, name="mine", **SIGNS),
        (6, 6, 4),
        r'"mine": dilation_rate=\(2, 2\)',
    ),
    "groups": (
        lambda: Q.QuantConv2D(4, 3, groups=2, name="mine", **SIGNS),
        (6, 6, 4),
        "2 groups for 4 channels",
    ),
    "volumes": (
        lambda: Q.QuantConv3D(4, 3, name="mine", **SIGNS),
        (4, 4, 4, 2),
        "over 3 axes",
    ),
    "transposed": (
        lambda: Q.QuantConv2DTranspose(4, 3, name="mine", **SIGNS),
        (6, 6, 4),
        "ConvTranspose",
    ),
    "pooled_1d": (lambda: L.MaxPooling1D(2), (6, 4), "over one axis"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_hls4ml_does_not_compute_is_refused_by_name(name, tmp_path):
    make, shape, why = REFUSED[name]
    with pytest.raises(lq.errors.UnsupportedLayerError, match=f"(?s){why}.*Fix:"):
        lq.deploy.to_qonnx(
            _image_model(make(), shape), tmp_path / "m.onnx", for_="hls4ml"
        )
    assert not list(tmp_path.iterdir())


def test_a_tool_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(
        lq.errors.ArgumentError, match=r'(?s)Did you mean "hls4ml".*Fix'
    ):
        lq.deploy.to_qonnx(model_of("bits"), tmp_path / "m.onnx", for_="hls4m")


@pytest.mark.parametrize("name", FOR_FINN)
def test_finn_has_nothing_to_refuse_in_a_file_for_it(name, written):
    file = written(name, "finn")
    assert lq.deploy.check_finn(file) == ()
    if file.graph.input[0].type.tensor_type.shape.dim[2:]:
        (said,) = file.graph.quantization_annotation
        (entry,) = said.quant_parameter_tensor_names
        assert (entry.key, entry.value) == (
            "tensor_layout",
            "['N', 'H', 'W', 'C']",
        )


def _with(node: str, at: int, array) -> callable:
    def change(file: onnx.ModelProto) -> None:
        found = next(n for n in file.graph.node if n.op_type == node and n.input)
        stored = onnx.numpy_helper.from_array(np.asarray(array, np.float32), "changed")
        file.graph.initializer.append(stored)
        found.input[at] = "changed"

    return change


def _set(node: str, name: str, value) -> callable:
    def change(file: onnx.ModelProto) -> None:
        for found in [n for n in file.graph.node if n.op_type == node]:
            kept = [a for a in found.attribute if a.name != name]
            del found.attribute[:]
            found.attribute.extend(kept)
            if value is not None:
                found.attribute.append(onnx.helper.make_attribute(name, value))

    return change


def _forget_layout(file: onnx.ModelProto) -> None:
    del file.graph.quantization_annotation[:]


def _domain(file: onnx.ModelProto) -> None:
    next(n for n in file.graph.node if n.op_type == "Conv").domain = CHANNELS_LAST


def _unknown(file: onnx.ModelProto) -> None:
    next(n for n in file.graph.node if n.op_type == "MaxPool").op_type = "LpPool"


FAULTS = {
    "zero point": (_with("Quant", 2, 1), "its zero point is not 0"),
    "one bit": (_with("Quant", 3, 1), "one bit, which FINN takes"),
    "many bits": (_with("Quant", 3, 9), "9 bits, and it stays in float"),
    "rounding": (_set("Quant", "rounding_mode", "CEIL"), "rounding_mode CEIL"),
    "scale of signs": (_with("BipolarQuant", 1, 0.5), "its scale is not 1"),
    "axes": (_with("Add", 1, np.ones((4, 1, 1))), r"\(4, 1, 1\) has not all 4 axes"),
    "pads": (_set("Conv", "pads", None), "it does not say pads"),
    "layout": (_forget_layout, 'input "x": it has no layout'),
    "domain": (_domain, f"it is of {CHANNELS_LAST}"),
    "operation": (_unknown, 'LpPool "pool/MaxPool": FINN has no hardware'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_finn_would_refuse_is_named(name, written, tmp_path):
    change, expected = FAULTS[name]
    file = onnx.ModelProto()
    file.CopyFrom(written("bits", "finn"))
    change(file)
    assert any(re.search(expected, fault) for fault in lq.deploy.check_finn(file))


def test_a_path_that_is_no_onnx_file_is_refused(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path / "text.onnx"):
        if path.stem == "text":
            path.write_text("no protocol buffer")
        with pytest.raises(lq.errors.ArgumentError, match=r"(?s)check_finn.*Fix"):
            lq.deploy.check_finn(path)


def test_layers_that_finn_does_not_take_are_refused_together(tmp_path):
    with pytest.raises(lq.errors.UnsupportedModelError) as caught:
        lq.deploy.to_qonnx(model_of("sequences"), tmp_path / "m.onnx", for_="finn")
    for layer in ("conv_0", "conv_1"):
        assert f'Conv "{layer}": a window over other than two axes' in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_random_networks_compute_what_keras_does_or_are_refused_by_name(tmp_path):
    """Networks in which everything follows everything; FINN and hls4ml refuse some."""
    written, refused = Counter(), []

    @seed(20)
    @settings(deadline=None, database=None, max_examples=40)
    @given(networks())
    def each(model):
        model = with_random_weights(model)
        (x,) = random_inputs(model, 2)
        expected = tf.nest.flatten(model(x, training=False))
        for tool in (None, "hls4ml", "finn"):
            path = tmp_path / "m.onnx"
            try:
                file = lq.deploy.to_qonnx(model, path, batch_size=2, for_=tool)
            except REFUSALS as error:
                refused.append((tool, str(error)))
                continue
            found = executed(file, x, file.graph.input[0].name)
            written[tool] += 1
            for output, keras in zip(file.graph.output, expected, strict=True):
                largest = max(np.abs(keras).max(), 1e-30)
                assert np.abs(found[output.name] - keras).max() <= 1e-5 * largest

    each()
    assert all(tool and "Fix" in said for tool, said in refused)
    assert written[None] >= 40
    assert min(written["hls4ml"], written["finn"]) >= 10
