"""What a verification says of a file whose float layers run in another precision."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from tests.deploy.keras_and_file import export, with_random_weights
from tests.deploy.verified_network import BINARY


def network():
    """Scaled pixels, a float stem, a packed layer, ten classes."""
    x = inputs = tf_keras.Input((8, 8, 3), name="image")
    x = tf_keras.layers.Rescaling(1 / 255, name="scaling")(x)
    x = tf_keras.layers.Conv2D(32, 3, padding="same", name="stem")(x)
    x = tf_keras.layers.BatchNormalization(name="stem_bn")(x)
    x = lq.layers.QuantConv2D(32, 3, name="packed", **BINARY)(x)
    x = tf_keras.layers.BatchNormalization(name="packed_bn")(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    x = tf_keras.layers.Dense(10, activation="softmax", name="labels")(x)
    made = with_random_weights(tf_keras.Model(inputs, x, name="net"))
    kernel = made.get_layer("labels").kernel
    kernel.assign(0.05 * kernel)  # so that differences are seen behind the softmax
    return made


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("precision") / "net.onnx"
    export(model, path)
    return path


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("precision", ["bf16", "int8-input"])
def test_labels_flips_and_differences_are_those_of_the_loaded_file(
    model, path, pixels, precision
):
    runtime = larqlite_runtime.load(path, isa="numpy", precision=precision)
    assert runtime.precision == precision
    found = lq.deploy.verify(model, runtime, pixels, stock=False)
    assert found.exact  # the proof is one of float32
    reduced, wanted = found.reduced, model.predict(pixels, verbose=0)
    assert (reduced.precision, reduced.ran) == (precision, precision)
    answers, output = runtime(pixels), reduced.outputs[0]
    assert output.labels == 6
    assert output.agreeing == np.sum(answers.argmax(1) == wanted.argmax(1))
    largest = abs(answers - wanted).max()
    np.testing.assert_allclose(output.values.largest, largest, atol=2e-6)
    flips = reduced.flips["packed"]
    assert flips.values == 6 * 8 * 8 * 32
    assert reduced.ok == (output.agreeing == 6)
    assert found.ok == (found.exact and output.agreeing == 6)


def test_signs_that_bf16_flips_are_counted(model, path, pixels):
    stem = tf_keras.Model(model.inputs, model.get_layer("stem_bn").output)
    exact = stem.predict(pixels, verbose=0)
    part = larqlite_runtime.load(
        path, isa="numpy", precision="bf16", outputs=["stem_bn:0"]
    )
    rounded = np.moveaxis(part(pixels), 1, -1)
    wanted = int(np.sum((exact < 0) != (rounded < 0)))
    runtime = larqlite_runtime.load(path, isa="numpy", precision="bf16")
    found = lq.deploy.verify(model, runtime, pixels, stock=False)
    assert found.reduced.flips["packed"].different == wanted
    assert 'The whole file with precision="bf16":' in str(found)
    assert f"{wanted:,} of 12,288 quantized inputs of packed layers flip" in str(found)
    assert found.to_dict()["reduced"]["flips"]["packed"]["different"] == wanted


def test_a_precision_by_name_draws_pixels_and_says_what_ran(model, path):
    found = lq.deploy.verify(model, path, stock=False, precision="int8-input")
    assert found.samples == 4
    assert found.reduced.ran in ("int8-input", "float32")
    assert lq.deploy.verify(model, path, stock=False).reduced is None
    slow = larqlite_runtime.load(path, isa="portable")
    found = lq.deploy.verify(model, slow, stock=False, precision="bf16")
    if slow.isa == "portable":
        assert found.reduced.ran == "float32"
        assert 'not to be had here: "float32" ran' in str(found)
        assert not any(item.different for item in found.reduced.flips.values())


def test_data_that_are_no_pixels_and_unknown_precisions_are_refused(model, path):
    x = np.full((2, 8, 8, 3), 0.5, np.float32)
    with pytest.raises(lq.errors.ArgumentError, match=r"holds 0\.5.*whole numbers"):
        lq.deploy.verify(model, path, x, stock=False, precision="int8-input")
    with pytest.raises(ValueError, match="there is no precision 'fp8'"):
        lq.deploy.verify(model, path, stock=False, precision="fp8")
