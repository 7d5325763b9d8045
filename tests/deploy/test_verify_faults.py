"""`lq.deploy.verify` names the layer of a planted fault, and explains what is none."""

import numpy as np
import onnx
import pytest
import tf_keras
from onnx import numpy_helper

import larqlite as lq
from larqlite_runtime.planner import _thresholds
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


def changed(path, change) -> bytes:
    """The bytes of a file after a change of its parsed content."""
    content = onnx.load(path)
    change(content.graph)
    return content.SerializeToString()


def array_of(graph, name) -> tuple[onnx.TensorProto, np.ndarray]:
    stored = next(item for item in graph.initializer if item.name == name)
    return stored, numpy_helper.to_array(stored).copy()


def put(stored: onnx.TensorProto, array: np.ndarray) -> None:
    stored.CopyFrom(numpy_helper.from_array(array, stored.name))


@pytest.mark.parametrize("layer", ["first", "second", "third", "last"])
def test_one_flipped_bit_of_a_kernel_is_found_in_its_layer(model, file, layer):
    def flip(graph):
        stored, codes = array_of(graph, f"{layer}/kernel")
        codes[len(codes) // 2] ^= 4
        put(stored, codes)

    result = lq.deploy.verify(model, changed(file, flip), stock=layer == "first")
    assert result.wrong == (layer,)
    assert not result.ok
    row = next(row for row in result.layers if row.layer == layer)
    assert row.quantized.different == 0
    # One weight is off by 2 from +1 to -1, and reaches every output of its channel.
    assert row.accumulators.largest == 2
    assert 0 < row.accumulators.different <= 4 * 36
    assert result.first_departing == layer
    assert f"WRONG: {layer} (1 of 4 layers)" in str(result)
    if result.stock:
        assert result.stock.wrong == (layer,)


@pytest.mark.parametrize("quantizer", ["ste_sign", "magnitude_aware_sign"])
def test_a_changed_normalization_is_found_behind_its_layer(quantizer, tmp_path):
    model = network(kernel_quantizer=quantizer)
    export(model, tmp_path / "net.onnx")
    for what in ("scale", "offset"):

        def change(graph, what=what):
            stored, values = array_of(graph, f"second_bn/{what}")
            values.flat[5] = 1.01 * values.flat[5] + 0.1
            put(stored, values)

        result = lq.deploy.verify(model, changed(tmp_path / "net.onnx", change))
        assert result.wrong == result.stock.wrong == ("second",)
        row = result.layers[1]
        assert row.bit_exact
        # The scales of a kernel are part of the normalization, so it is compared.
        is_folded = quantizer == "magnitude_aware_sign"
        assert row.output_of == ("normalization" if is_folded else "layer")
        assert bool(row.output.unexplained) == is_folded
        assert bool(row.next_values.unexplained) != is_folded


def test_a_changed_scale_of_a_kernel_is_found_in_its_layer(tmp_path):
    binary = BINARY | {"kernel_quantizer": "magnitude_aware_sign", "use_bias": True}
    model = tf_keras.Sequential(
        [
            tf_keras.Input((40,)),
            lq.layers.QuantDense(20, name="a", **binary),
            lq.layers.QuantDense(20, name="b", **binary),
        ]
    )
    with_random_weights(model)
    export(model, tmp_path / "net.onnx")

    def change(graph):
        stored, values = array_of(graph, "b/kernel_scale")
        put(stored, values * np.float32(1.001))

    assert lq.deploy.verify(model, tmp_path / "net.onnx").ok
    result = lq.deploy.verify(model, changed(tmp_path / "net.onnx", change))
    assert result.wrong == result.stock.wrong == ("b",)
    assert result.layers[1].bit_exact
    assert result.layers[1].output.relative == pytest.approx(1e-3, rel=0.3)


def test_swapped_layers_are_both_found(model, file):
    def swap(graph):
        (one, a), (two, b) = (
            array_of(graph, f"{n}/kernel") for n in ("first", "second")
        )
        put(one, b)
        put(two, a)

    result = lq.deploy.verify(model, changed(file, swap))
    assert (
        result.wrong
        == result.stock.wrong
        == (
            "first",
            "second",
        )
    )
    assert result.first_departing == "first"
    assert result.layers[0].accumulators.different > 1000


def test_a_changed_pad_value_is_found_at_the_borders(model, file):
    def change(graph):
        node = next(node for node in graph.node if node.name == "third")
        (pad_value,) = [a for a in node.attribute if a.name == "pad_value"]
        assert pad_value.f == 1
        pad_value.f = -1

    result = lq.deploy.verify(model, changed(file, change))
    assert result.wrong == result.stock.wrong == ("third",)
    border = 4 * (36 - 16) * 16
    assert 0 < result.layers[2].accumulators.different <= border


def test_a_changed_input_quantizer_is_found(model, file):
    def change(graph):
        node = next(n for n in graph.node if n.name == "second/input_quantizer")
        node.op_type = "Heaviside"
        conv = next(n for n in graph.node if n.name == "second")
        next(a for a in conv.attribute if a.name == "input").s = b"heaviside"

    content = changed(file, change)
    result = lq.deploy.verify(model, content, stock=False)
    assert result.wrong == ("second",)
    assert result.layers[1].quantized.different > 0


def test_a_float_layer_before_the_packed_ones_is_found(model, file):
    def change(graph):
        stored, kernel = array_of(graph, "stem/kernel")
        put(stored, kernel * np.float32(1.001))

    result = lq.deploy.verify(model, changed(file, change))
    assert result.wrong == result.stock.wrong == ("(float layers before)",)
    assert result.first_departing == "(float layers before)"
    assert not result.ok
    assert result.before.relative == pytest.approx(1e-3, rel=0.3)
    assert all(row.ok for row in result.layers)  # given their inputs in Keras
    assert "WRONG: (float layers before) (0 of 4 layers)" in str(result)


def test_a_float_layer_between_packed_ones_is_found_behind_the_first(tmp_path):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((30,)),
            lq.layers.QuantDense(20, name="one", **BINARY),
            tf_keras.layers.Dense(20, name="between"),
            lq.layers.QuantDense(20, name="two", **BINARY),
        ]
    )
    with_random_weights(model)
    export(model, tmp_path / "net.onnx")

    def change(graph):
        stored, kernel = array_of(graph, "between/kernel")
        put(stored, -kernel)

    result = lq.deploy.verify(model, changed(tmp_path / "net.onnx", change))
    assert result.wrong == result.stock.wrong == ("one",)
    assert result.layers[0].bit_exact
    assert result.layers[0].output.largest == 0
    assert result.layers[0].next_flips.unexplained > 10


def test_a_wrong_threshold_of_the_runtime_is_found_in_the_layer_it_is_fused_into(
    tmp_path, monkeypatch
):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((40,)),
            lq.layers.QuantDense(40, name="one", **BINARY),
            tf_keras.layers.BatchNormalization(name="norm"),
            lq.layers.QuantDense(40, name="two", **BINARY),
        ]
    )
    with_random_weights(model)
    export(model, tmp_path / "net.onnx")
    interval = _thresholds._interval

    def shifted(plus, low, high, *ends):
        return tuple(
            np.clip(bound, low, high) + 4 for bound in interval(plus, low, high, *ends)
        )

    monkeypatch.setattr(_thresholds, "_interval", shifted)
    result = lq.deploy.verify(model, tmp_path / "net.onnx")
    assert result.wrong == ("one",)
    assert result.stock.wrong == ()
    row = result.layers[0]
    assert row.bit_exact  # alone, it gives out its sums
    assert row.output.largest == row.next_flips.different == 0
    assert row.fused.unexplained > 10
    assert "On onnxruntime: 2 packed layers, each" in str(result)


def test_flips_through_the_last_place_of_a_float_are_explained_and_counted(tmp_path):
    """Keras' own sums of scaled kernels miss an exact zero by a rounding error."""
    quantizer = lq.quantizers.MagnitudeAwareSign
    model = tf_keras.Sequential(
        [
            tf_keras.Input((9, 9, 6)),
            lq.layers.QuantConv2D(
                16,
                3,
                input_quantizer=lq.quantizers.DoReFa(2),
                kernel_quantizer=quantizer(),
                activation="ste_sign",
                use_bias=False,
                name="noisy",
            ),
            lq.layers.QuantConv2D(4, 3, name="clean", **BINARY),
        ]
    )
    with_random_weights(model)
    x = np.random.default_rng(2).normal(size=(4, 9, 9, 6)).astype(np.float32)
    export(model, tmp_path / "net.onnx")
    result = lq.deploy.verify(model, tmp_path / "net.onnx", x)
    noisy, clean = result.layers
    assert noisy.bit_exact
    assert noisy.output.different > 0
    assert noisy.output.unexplained == 0
    assert noisy.ok
    assert clean.ok
    assert clean.run_flips.different == noisy.output.different
    assert result.exact
    assert result.first_departing == "clean"
    assert f"{clean.run_flips.different:,} of " in str(result)
