"""Quantization-aware models as packed files, the way users go: with all defaults."""

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite import qat
from larqlite.qat import quantizers
from larqlite.qat.inference import rounding_of
from tests.common.eager import binarize, calibrate, quantize_apply

layers = tf_keras.layers
IMAGES = np.random.default_rng(0).normal(size=(48, 10, 10, 3)).astype("float32")


def normalization():
    return layers.BatchNormalization(
        beta_initializer="random_normal", gamma_initializer="random_uniform"
    )


def network(*between, last=None):
    """A float network for `IMAGES` with convolutions called first and inner."""
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Sequential(
        [
            tf_keras.Input(IMAGES.shape[1:]),
            layers.Conv2D(6, 3, name="first"),
            normalization(),
            layers.ReLU(),
            *between,
            layers.Conv2D(8, 3, name="inner"),
            normalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            last or layers.Dense(4, name="last"),
        ]
    )


def residual():
    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.Input(IMAGES.shape[1:])
    x = normalization()(layers.Conv2D(8, 3, padding="same")(inputs))
    y = normalization()(layers.Conv2D(8, 3, padding="same")(layers.ReLU()(x)))
    x = layers.Add()([x, y])
    x = x + normalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(tf.nn.relu(x))
    return tf_keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def on_a_tie(model, data, expected, tolerance):
    """Images that Keras itself rounds otherwise if weights change in their last places.

    Sums before a rounding depend on the order of float32 additions in their last places;
    a sum that lies so near to a tie goes to either level.
    """
    found = np.zeros(len(data), bool)
    kept = model.get_weights()
    rng = np.random.default_rng(0)
    for _ in range(8):
        change = [rng.uniform(-3e-7, 3e-7, np.shape(x)).astype("float32") for x in kept]
        model.set_weights(
            [
                x * (1 + c) if x.dtype == c.dtype else x
                for x, c in zip(kept, change, strict=True)
            ]
        )
        near = model(data).numpy()
        found |= np.abs(near - expected).max(-1) > tolerance
    model.set_weights(kept)
    return found


def exported(model, path, data=IMAGES):
    """The report of a file that was exported with defaults and runs as in Keras."""
    report = lq.deploy.export(model, path)
    expected = model(data).numpy()
    tolerance = 1e-5 * np.abs(expected).max()
    ties = on_a_tie(model, data, expected, tolerance)
    print("TIES", ties.sum())
    assert ties.sum() <= len(data) // 8, "too few images are compared"
    runtime = larqlite_runtime.load(path)(data)
    np.testing.assert_allclose(runtime[~ties], expected[~ties], rtol=0, atol=tolerance)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (stock,) = session.run(None, {session.get_inputs()[0].name: data})
    np.testing.assert_allclose(stock[~ties], expected[~ties], rtol=0, atol=tolerance)
    return report


@pytest.fixture(scope="module")
def binarized():
    """To be read, or to be left as it was."""
    return binarize(network(), calibrate=IMAGES)


def test_a_binarized_model_is_trained_and_exported_with_defaults(tmp_path):
    model = binarize(network(), calibrate=IMAGES)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(True)
    model.compile("adam", loss, run_eagerly=True)
    model.fit(IMAGES, np.arange(48) % 4, epochs=1, verbose=0)
    report = exported(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", IMAGES).exact
    assert [row.operation for row in report.packed] == ["QConv2D", "BConv2D", "QDense"]
    # 1 bit inside, 8 bits and float biases at the ends, scale and offset of two
    # normalizations.
    first, inner, last = 3 * 3 * 3 * 6, 3 * 3 * 6 * 8, 3 * 3 * 8 * 4
    floats = 6 + 8 + 4 + 2 * (6 + 8)
    assert report.weight_bytes == first + inner // 8 + last + 4 * floats
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes
    assert report.float_layers == ()
    assert report.notes == ()


def test_a_normalization_that_rounds_takes_the_scale_of_a_layer_without_a_bias(
    tmp_path,
):
    """The packed layer has no output of its own then: what is known is before rounding."""
    tf_keras.utils.set_random_seed(1)
    parts = []
    for name in ("first", "inner"):
        parts += [layers.Conv2D(8, 3, use_bias=False, name=name), normalization()]
        parts.append(layers.ReLU())
    end = [layers.GlobalAveragePooling2D(), layers.Dense(4, name="last")]
    float_model = tf_keras.Sequential([tf_keras.Input((10, 10, 3)), *parts, *end])
    model = binarize(float_model, calibrate=IMAGES)
    exported(model, tmp_path / "model.onnx")
    found = lq.deploy.verify(model, tmp_path / "model.onnx", IMAGES)
    first, row, last = found.layers
    assert found.exact
    assert (first.operation, last.operation) == ("QConv2D", "QDense")
    assert row.output_of == "normalization"
    assert row.output.values == 48 * 6 * 6 * 8  # compared, and not left out


def test_nothing_is_rounded_right_before_a_sign(binarized, tmp_path):
    lq.deploy.export(binarized, tmp_path / "model.onnx", verify=False)
    file = onnx.load(tmp_path / "model.onnx")
    rounded = [node.name for node in file.graph.node if node.op_type == "Floor"]
    assert [re.sub(r"_\d+/", "/", name) for name in rounded] == [
        "quantize_layer/output/Floor",
        "quant_batch_normalization/output/Floor",  # what the last layer reads
        "quant_last/activation/activation/Floor",
    ]
    # Of the others packed layers read the integers, and are compared with Keras there.
    texts = {p.key: p.value for p in file.metadata_props}
    (rounding,) = json.loads(texts["larqlite.roundings"])
    assert (rounding["layer"], rounding["role"]) == ("quant_last", "activation")
    reasons = [row.reason for row in qat.report(binarized, verbose=False).layers]
    assert "output quantized after quant_inner" in reasons


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("ends", ["int4", *slow("int1", "int2", "int12", "float")])
def test_ends_of_every_width(ends, tmp_path):
    model = binarize(network(), ends=ends, calibrate=IMAGES)
    report = exported(model, tmp_path / "model.onnx")
    is_wide = ends == "int12"
    assert any("stored in float32" in note for note in report.notes) == is_wide
    if not is_wide:
        assert report.weight_bytes == lq.models.profile(model).deployed_bytes


@pytest.mark.slow
def test_a_residual_network(tmp_path):
    exported(binarize(residual(), calibrate=IMAGES), tmp_path / "model.onnx")


def branches():
    """Everything that stands between rounding and the next kernel: maxima, parts joined,
    groups, one filter a channel, flattening."""
    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.Input(IMAGES.shape[1:])
    x = layers.ReLU()(normalization()(layers.Conv2D(8, 3, padding="same")(inputs)))
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(x)]))
    parts = [layers.Conv2D(8, 3, strides=2, padding="same")(x), layers.MaxPool2D()(x)]
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3)(layers.Concatenate()(parts)))
    x = layers.Flatten()(layers.Conv2D(16, 1, groups=2, activation="relu")(x))
    return tf_keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("scheme", ["int4/8", *slow("int8")])
def test_codes_of_weights_and_inputs_are_summed_as_integers(scheme, tmp_path):
    model = qat.quantize_model(branches(), scheme=scheme, calibrate=IMAGES)
    report = exported(model, tmp_path / "model.onnx")
    assert [row.operation for row in report.packed] == ["QConv2D"] * 5 + ["QDense"]
    assert report.float_layers == ()
    found = lq.deploy.verify(model, tmp_path / "model.onnx", IMAGES)
    assert found.exact
    assert all(row.accumulators.values for row in found.layers)
    # The kernels run all of it, so it comes to C and WebAssembly too.
    native = larqlite_runtime.load(tmp_path / "model.onnx", engine="native")
    whole = larqlite_runtime.load(tmp_path / "model.onnx")(IMAGES)
    np.testing.assert_allclose(native(IMAGES), whole, rtol=0, atol=1e-5)
    targets = "native:portable" if scheme == "int4/8" else "native:portable,c,wasm"
    assert lq.deploy.verify_on(model, targets, IMAGES[:4]).ok


CASES = {
    "all of it in 8 bits": "int8",
    "patterns": {"inner": "binary", "first": "int6", "*": "int7"},
    "ternary": {"inner": qat.BinaryScheme("ste_tern", "ste_sign"), "*": "int8"},
}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", CASES.values(), ids=CASES)
def test_schemes(scheme, tmp_path):
    model = network(layers.SeparableConv2D(6, 3, padding="same", activation="relu"))
    model = quantize_apply(qat.quantize_annotate_model(model), scheme, calibrate=IMAGES)
    exported(model, tmp_path / "model.onnx")


CONFIGS = {
    "signs by name": (
        qat.LayerQuantizeConfig({"kernel": "ste_sign"}, inputs="ste_sign"),
        "BConv2D",
    ),
    "steps": (
        qat.LayerQuantizeConfig(
            {"kernel": "ste_tern"},
            activations={"activation": "dorefa"},
            inputs=lq.quantizers.DoReFa(3),
            outputs=quantizers.MovingAverageQuantizer(4),
        ),
        "QConv2D",
    ),
    "ranges of channels": (
        qat.LayerQuantizeConfig(
            {"kernel": quantizers.LastValueQuantizer(4, per_axis=True)},
            outputs=quantizers.MovingAverageQuantizer(4, per_axis=True),
        ),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["steps", *slow("signs by name", "ranges of channels")]
)
def test_configs_of_ones_own(name, tmp_path):
    config, operation = CONFIGS[name]

    def annotate(layer):
        if layer.name == "inner":
            return qat.quantize_annotate_layer(layer, config)
        return layer

    model = tf_keras.models.clone_model(network(), clone_function=annotate)
    model = quantize_apply(model, calibrate=IMAGES)
    report = exported(model, tmp_path / "model.onnx")
    assert [row.operation for row in report.packed] == [operation] * bool(operation)
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes


class Halving(quantizers.Quantizer):
    """Computes something that no file can tell."""

    def __call__(self, inputs, training, weights, **kwargs):
        return inputs / 2


def test_an_unknown_quantizer_is_refused_with_a_fix_that_works(tmp_path):
    config = qat.LayerQuantizeConfig(outputs=Halving())
    model = network(last=layers.Dense(4, name="last"))
    quantized = quantize_apply(model, {"last": config}, calibrate=IMAGES)
    with pytest.raises(lq.errors.UnsupportedLayerError, match="by a Halving") as caught:
        lq.deploy.export(quantized, tmp_path / "model.onnx")
    assert '"quant_last"' in str(caught.value)
    assert '"float"' in str(caught.value)
    fixed = quantize_apply(model, {"last": "float", "first": "int8"})
    calibrate(fixed, IMAGES)
    exported(fixed, tmp_path / "model.onnx")


def test_an_annotated_model_is_refused_with_a_fix_that_works(tmp_path):
    model = qat.quantize_annotate_model(network())
    with pytest.raises(lq.errors.UnsupportedModelError, match="annotated") as caught:
        lq.deploy.export(model, tmp_path / "model.onnx")
    assert "lq.qat.quantize_apply(model, calibrate=data)" in str(caught.value)
    exported(quantize_apply(model, calibrate=IMAGES), tmp_path / "model.onnx")


def test_ranges_that_nothing_has_set_are_refused_with_a_fix_that_works(tmp_path):
    model = binarize(network())
    with pytest.raises(lq.errors.ArgumentError, match="is not set yet") as caught:
        lq.deploy.export(model, tmp_path / "model.onnx")
    assert "lq.qat.calibrate(model, data)" in str(caught.value)
    calibrate(model, IMAGES)
    lq.deploy.export(model, tmp_path / "model.onnx", verify=False)


def test_a_range_that_is_not_the_one_of_the_file_is_found(binarized, tmp_path):
    path = tmp_path / "model.onnx"
    lq.deploy.export(binarized, path, verify=False)
    assert lq.deploy.verify(binarized, path, IMAGES, stock=False).exact
    ranges = [v for v in binarized.layers[0].variables if v.name.endswith("max:0")]
    kept = ranges[0].numpy()
    ranges[0].assign(kept * 0.9)
    assert not lq.deploy.verify(binarized, path, IMAGES, stock=False).exact
    ranges[0].assign(kept)


@pytest.mark.parametrize("per_axis", [False, True])
def test_roundings_are_those_of_tensorflow_next_to_the_middle_of_two_levels(per_axis):
    rng = np.random.default_rng(0)
    for trial in range(60):
        bits, narrow = int(rng.integers(2, 17)), bool(rng.integers(2))
        low = np.float32(
            -abs(rng.normal()) * 10 ** rng.uniform(-3, 3) * bool(trial % 4)
        )
        high = np.float32(abs(rng.normal()) * 10 ** rng.uniform(-3, 3))
        kind = quantizers.MovingAverageQuantizer(bits, per_axis, narrow_range=narrow)
        ends = [low, high] if not per_axis else [[low], [high]]
        variables = dict(
            zip(("min_var", "max_var"), map(tf.constant, ends), strict=True)
        )
        r = rounding_of(kind, variables)
        middle = (
            r.lowest
            + (np.arange(min(2**bits - 1, 500), dtype="f") + np.float32(0.5)) * r.step
        )
        x = np.concatenate(
            [rng.uniform(2 * low - 1, 2 * high + 1, 500).astype("f"), middle]
            + [np.nextafter(middle, np.float32(end)) for end in (-np.inf, np.inf)]
        )  # fmt: skip
        shift = np.minimum(np.maximum(x, r.lowest), r.highest) - r.lowest
        units = shift / r.step if r.per_unit is None else shift * r.per_unit
        found = np.floor(units - r.zero + np.float32(0.5)) * r.step
        operation = tf.quantization.fake_quant_with_min_max_vars
        if per_axis:
            operation = tf.quantization.fake_quant_with_min_max_vars_per_channel
        expected = operation(x[:, None] if per_axis else x, *ends, bits, narrow)
        np.testing.assert_array_equal(found, np.ravel(expected))
