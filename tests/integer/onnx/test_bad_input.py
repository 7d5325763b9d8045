"""What is refused, with its name and a fix: models, settings and samples."""

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from larqlite.errors import ArgumentError, LarqliteError, UnsupportedModelError
from larqlite.integer.onnx import quantize_onnx
from tests.integer.onnx.networks import images, model_of, normal
from tests.integer.onnx.numpy_integers import run

OUT = "float[N, C, H, W] y"
WEIGHTS = {"k": normal(4, 3, 3, 3), "b": normal(4)}


def conv(batch="N", **changes):
    x = f"float[{batch}, 3, 12, 12] x"
    return model_of("y = Conv (x, k, b)", WEIGHTS | changes, x, OUT)


SAMPLES = images(16, 3, 12, 12)


@pytest.mark.parametrize(
    "setting",
    [
        {"activation_bits": 4},
        {"weight_bits": 4},
        {"output_bits": 16},
        {"input_weight_bits": 2},
        {"buffer_bits": 16},
        {"epochs": 2},
        {"q_config": {"conv": {}}},
    ],
)
def test_settings_that_onnx_models_do_not_have_are_refused_by_name(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=name) as caught:
        quantize_onnx(conv(), samples=SAMPLES, **setting)
    assert "Fix:" in str(caught.value)


def test_an_empty_q_config_is_none():
    assert quantize_onnx(conv(), samples=SAMPLES, q_config={})


def test_something_else_than_a_model_is_refused():
    with pytest.raises(ArgumentError, match=r"str, not an onnx\.ModelProto"):
        quantize_onnx("model.onnx", samples=SAMPLES)


@pytest.mark.parametrize("kind", ["uint8", "float16", "double", "int64"])
def test_an_input_of_another_type_is_refused_by_name(kind):
    model = model_of("a = Cast <to = 1> (x) y = Relu (a)", {}, f"{kind}[N, 3] x")
    with pytest.raises(UnsupportedModelError, match=f'"x" is {kind.upper()}'):
        quantize_onnx(model)


def test_initializers_that_are_listed_as_inputs_are_weights():
    model = conv()
    model.graph.input.append(
        helper.make_tensor_value_info("k", TensorProto.FLOAT, [4, 3, 3, 3])
    )
    quantized = quantize_onnx(model, samples=SAMPLES)
    assert [value.name for value in quantized.graph.input] == ["x"]


def test_quantizing_twice_is_refused():
    quantized = quantize_onnx(conv(), samples=SAMPLES)
    with pytest.raises(UnsupportedModelError, match="once"):
        quantize_onnx(quantized, samples=SAMPLES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m.graph.node[0].ClearField("op_type"),
        lambda m: m.graph.node[0].input.append("nowhere"),
        lambda m: m.graph.initializer[0].dims.append(7),
        lambda m: m.graph.initializer[0].ClearField("raw_data"),
        lambda m: setattr(m.graph.initializer[0], "raw_data", b"\0" * 5),
        lambda m: m.graph.initializer.pop(),
        lambda m: m.ClearField("graph"),
        lambda m: m.ClearField("opset_import"),
        lambda m: m.graph.node.append(m.graph.node[0]),
        lambda m: m.graph.ClearField("output"),
        lambda m: setattr(m.graph.node[0], "op_type", "Convolution"),
        lambda m: setattr(m.graph.node[0], "domain", "nowhere"),
        lambda m: m.graph.node[0].attribute.append(
            helper.make_attribute("strides", [0, 0])
        ),
    ],
)
def test_a_damaged_model_is_refused(damage):
    model = conv()
    damage(model)
    with pytest.raises(UnsupportedModelError, match="Fix:"):
        quantize_onnx(model, samples=SAMPLES)


def test_random_damage_is_refused_or_quantized_but_never_crashes():
    content = conv().SerializeToString()
    random = np.random.default_rng(0)
    refused = quantized = unhelpful = 0
    for trial in range(300):
        damaged = bytearray(content)
        where = random.integers(0, 130 if trial % 2 else len(damaged), size=2)
        damaged[where[0]] = random.integers(256)
        if trial % 3 == 0:
            damaged = damaged[: where[1] or 1]
        try:
            model = onnx.load_from_string(bytes(damaged))
        except Exception:  # protobuf's own refusal, before ours.
            continue
        try:
            quantize_onnx(model, samples=SAMPLES)
            quantized += 1
        except LarqliteError as error:
            refused += "Fix:" in str(error)
            unhelpful += "Fix:" not in str(error)
    assert unhelpful == 0
    assert refused > 5
    assert quantized > 10


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(value):
    kernel = WEIGHTS["k"].copy()
    kernel[0, 0, 0, 0] = value
    with pytest.raises(LarqliteError, match=r"'k'|finite"):
        quantize_onnx(conv(k=kernel), samples=SAMPLES)


def test_values_that_overflow_in_the_float_model_are_refused_by_name():
    kernel = np.full((4, 3, 3, 3), 3e38, np.float32)
    with pytest.raises(UnsupportedModelError, match=r'"y" .* not finite'):
        quantize_onnx(conv(k=kernel), samples=np.abs(SAMPLES) + 2)


def same(model, samples, expected, **settings):
    found = quantize_onnx(model, samples=samples, **settings)
    x = SAMPLES[: model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 16]
    np.testing.assert_array_equal(run(found, x)[0], run(expected, x)[0])


def test_samples_come_as_arrays_datasets_generators_lists_and_pairs():
    model = conv()
    expected = quantize_onnx(model, samples=SAMPLES)
    dataset = tf.data.Dataset.from_tensor_slices((SAMPLES, np.arange(16)))
    for samples in [
        tf.constant(SAMPLES),
        SAMPLES.astype(np.float64),
        dataset.batch(5),
        dataset,
        dataset.map(lambda x, _: x).batch(7),
        (SAMPLES[i : i + 4] for i in range(0, 16, 4)),
        ((x, 3) for x in SAMPLES),
        [SAMPLES[:3], SAMPLES[3:]],
        iter([SAMPLES]),
    ]:
        same(model, samples, expected)
    same(model, SAMPLES, expected, batch_size=1)
    same(model, SAMPLES, expected, batch_size=5)


def test_num_samples_counts_samples_and_ends_endless_generators():
    model = conv()
    expected = quantize_onnx(model, samples=SAMPLES[:6])
    large = np.concatenate([SAMPLES[:6], 100 * SAMPLES])

    def endless():
        while True:
            yield SAMPLES[:4]
            yield np.concatenate([SAMPLES[4:6], 100 * SAMPLES])

    same(model, large, expected, num_samples=6)
    same(model, large, expected, num_samples=6, batch_size=4)
    same(model, endless(), expected, num_samples=6)


def test_a_batch_of_fixed_size_counts_every_sample():
    expected = quantize_onnx(conv(), samples=SAMPLES[:13])
    for samples in (SAMPLES[:13], [SAMPLES[:3], SAMPLES[3:13]]):
        found = quantize_onnx(conv(batch=5), samples=samples)
        x = SAMPLES[:5]
        np.testing.assert_array_equal(run(found, x)[0], run(expected, x)[0])


def test_random_samples_are_said_to_be_random():
    with pytest.warns(UserWarning, match="random samples") as caught:
        quantized = quantize_onnx(conv())
    assert caught[0].filename == __file__
    from larqlite.integer.models import quantize

    with pytest.warns(UserWarning, match="random samples") as caught:
        quantize(conv())
    assert caught[0].filename == __file__
    step = onnx.numpy_helper.to_array(quantized.graph.initializer[0])
    np.testing.assert_allclose(step, [1, 1, 1], rtol=1e-3)


def nan_at(index):
    samples = SAMPLES.copy()
    samples[index, 0, 0, 0] = np.nan
    return samples


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (SAMPLES[:, :2], r"\(2, 12, 12\).*\(3, 12, 12\)"),
        (SAMPLES.transpose(0, 2, 3, 1), r"\(12, 12, 3\)"),
        (SAMPLES[:, 0], r"\(16, 12, 12\)"),
        (SAMPLES[:, 0, 0], r"\(16, 12\)"),
        (np.float32(3), r"\(\)"),
        (nan_at(9), "sample 9 holds NaN"),
        (iter([SAMPLES[:4], nan_at(3)]), "sample 7 holds NaN"),
        (SAMPLES[:0], "empty"),
        ([], "empty"),
        (iter([]), "empty"),
        (np.array(["a", "b"]), "not numbers"),
        (3, "int, which is no data"),
        ("samples.npz", "str, which is no data"),
        ({"y": SAMPLES}, r"names \['y'\], and the model has the inputs \['x'\]"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        quantize_onnx(conv(), samples=samples)
    assert "Fix:" in str(caught.value)


@pytest.mark.parametrize("setting", [{"num_samples": 0}, {"num_samples": 2.5}])
@pytest.mark.parametrize("batch", [{}, {"batch_size": 0}, {"batch_size": True}])
def test_counts_that_are_no_positive_whole_numbers_are_refused(setting, batch):
    with pytest.raises(ArgumentError, match="positive whole number"):
        quantize_onnx(conv(), samples=SAMPLES, **setting)
    if batch:
        with pytest.raises(ArgumentError, match="batch_size"):
            quantize_onnx(conv(), samples=SAMPLES, **batch)


def test_random_samples_need_a_known_size():
    model = model_of(
        "y = Conv (x, k, b)", WEIGHTS, "float[N, 3, H, W] x", "float[N,C,A,B] y"
    )
    with pytest.raises(ArgumentError, match="open size"):
        quantize_onnx(model)
    quantized = quantize_onnx(model, samples=SAMPLES)
    assert run(quantized, images(2, 3, 9, 15))[0].shape == (2, 4, 7, 13)


def several(body):
    text = '<ir_version: 9, opset_import: ["": 18]>'
    return onnx.parser.parse_model(f"{text} g {body}")


def test_samples_of_several_inputs_come_by_name():
    model = several(
        "(float[N, 3] first, float[N, 3] second) => (float[N, 3] sum)"
        "{ sum = Add (first, second) }"
    )
    rows = images(8, 3)
    for wrong in (rows, [rows, rows], {"first": rows}, 3):
        with pytest.raises(ArgumentError, match=r"inputs \['first', 'second'\]"):
            quantize_onnx(model, samples=wrong)
    with pytest.raises(ArgumentError, match="not equally many"):
        quantize_onnx(model, samples={"first": rows, "second": rows[:5]})
    with pytest.warns(UserWarning, match="random samples"):
        quantize_onnx(model)


def test_the_standard_domain_may_be_written_out():
    model = conv()
    model.opset_import[0].domain = "ai.onnx"
    same(model, SAMPLES, quantize_onnx(conv(), samples=SAMPLES))


def test_the_rest_of_a_model_may_hold_subgraphs_that_take_quantized_tensors():
    body = """a = Conv (x, k, b) s = Sigmoid (a) z = ReduceMax <keepdims = 0> (s)
    c = Greater (z, limit)
    y = If <then_branch = one () => (float[A, B, C, D] p) { p = Add (a, a) },
        else_branch = two () => (float[A, B, C, D] q) { q = Mul (s, a) }> (c)"""
    for limit in (0.0, 2.0):
        weights = WEIGHTS | {"limit": np.float32(limit)}
        model = model_of(body, weights, y=OUT)
        with pytest.warns(UserWarning, match="stay float: ReduceMax"):
            quantized = quantize_onnx(model, samples=SAMPLES)
        before, after = run(model, SAMPLES)[0], run(quantized, SAMPLES)[0]
        assert np.abs(before - after).max() < 0.03 * np.abs(before).max()
