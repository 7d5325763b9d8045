"""A checkpoint that TFMOT 0.8.1 has written fits the model that larqlite quantizes."""

from pathlib import Path

import numpy as np
import tf_keras

from larqlite import qat

FOLDER = Path(__file__).resolve().parent.parent / "fixtures/tfmot_0.8.1"
layers = tf_keras.layers


def build():
    """The float model of tests/fixtures/make_qat_checkpoint.py."""
    inputs = tf_keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten(name="flatten")(x)
    return tf_keras.Model(inputs, layers.Dense(4, "softmax", name="labels")(x))


def test_outputs_are_those_of_the_model_that_was_saved():
    model = qat.quantize_model(build())
    status = model.load_weights(str(FOLDER / "weights"))
    status.assert_existing_objects_matched()
    with np.load(FOLDER / "outputs.npz") as stored:
        np.testing.assert_allclose(model(stored["x"]), stored["y"], atol=1e-6)
        assert np.ptp(stored["y"]) > 0.1
