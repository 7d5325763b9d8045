"""Models of Keras 3, of each form, become tf_keras models that compute the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.from_keras.networks import cnn, equal, noise, randomized

K = keras.layers


def test_a_sequential_model_stays_one_with_its_names_and_weights():
    theirs = cnn()
    ours = lq.models.from_keras(theirs)
    assert (type(ours), ours.name) == (tf_keras.Sequential, "cnn")
    assert [layer.name for layer in ours.layers] == [la.name for la in theirs.layers]
    assert ours.input_names == ["image"]
    for a, b in zip(ours.weights, theirs.weights, strict=False):
        assert tuple(a.shape) == tuple(b.shape)
    equal(ours, theirs, noise(3, 8, 8, 3))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_file_comes_in_as_its_model_does(tmp_path, ending):
    theirs = cnn()
    theirs.save(tmp_path / f"model.{ending}")
    for path in (tmp_path / f"model.{ending}", str(tmp_path / f"model.{ending}")):
        equal(lq.models.from_keras(path), theirs, noise(3, 8, 8, 3))


def test_what_came_in_is_saved_and_loaded_as_any_model(tmp_path):
    ours = lq.models.from_keras(cnn())
    x = noise(3, 8, 8, 3)
    for name in ("ours.keras", "ours.h5"):
        ours.save(tmp_path / name)
        again = lq.models.load(tmp_path / name)
        np.testing.assert_array_equal(again(x), ours(x))


def test_shared_layers_models_inside_and_dictionaries_come_in():
    x = keras.Input((6,), name="x of one")
    shared = K.Dense(6, "tanh", name="shared")
    inner = keras.Model(x, shared(shared(x)), name="inner")
    given = {
        "left": keras.Input((6,), name="left"),
        "right": keras.Input((6,), name="right"),
    }
    both = K.Add(name="both")([inner(given["left"]), inner(given["right"])])
    theirs = randomized(
        keras.Model(given, {"sum": both, "again": shared(both)}, name="m")
    )
    ours = lq.models.from_keras(theirs)
    assert len(ours.weights) == 2
    assert [layer.name for layer in ours.layers] == [
        "left",
        "right",
        "inner",
        "both",
        "shared",
    ]
    assert ours.get_layer("inner").input_names == ["x_of_one"]
    equal(ours, theirs, {"left": noise(2, 6), "right": noise(2, 6) + 1})


def test_images_of_any_size_are_compared_at_one_that_the_layers_take():
    x = keras.Input((None, None, 1))
    theirs = keras.Model(x, K.GlobalAveragePooling2D()(K.Conv2D(2, 40)(x)))
    equal(lq.models.from_keras(theirs), theirs, noise(1, 41, 43, 1))


def test_several_inputs_and_outputs_keep_their_order():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    theirs = keras.Model([b, a], [K.Subtract()([a, b]), K.Rescaling(2.0)(b)])
    equal(lq.models.from_keras(theirs), theirs, [noise(2, 4), noise(2, 4) + 1])


def test_a_model_of_intermediate_tensors_comes_in():
    theirs = cnn()
    part = keras.Model(theirs.get_layer("norm").output, theirs.outputs[0])
    equal(lq.models.from_keras(part), part, noise(2, 6, 6, 4))


def test_what_is_trainable_and_the_dtypes_are_kept():
    x = keras.Input((6,))
    half = K.Dense(6, dtype="mixed_float16", name="half")
    frozen = K.Dense(4, name="frozen", trainable=False)
    inner = keras.Sequential(
        [keras.Input((4,)), K.Dense(3, name="deep"), K.Dense(3)], name="inner"
    )
    inner.layers[0].trainable = False
    theirs = keras.Model(x, inner(frozen(half(x))))
    ours = lq.models.from_keras(theirs)
    assert not ours.get_layer("frozen").trainable
    assert ours.get_layer("half").trainable
    deep = ours.get_layer("inner").layers
    assert [layer.trainable for layer in deep] == [False, True]
    assert len(ours.trainable_weights) == len(theirs.trainable_weights) == 4
    assert ours.get_layer("half").dtype_policy.name == "mixed_float16"
    inner.trainable = False
    assert not lq.models.from_keras(theirs).get_layer("inner").trainable


def test_dropout_does_nothing_at_inference_and_drops_in_training():
    x = keras.Input((50,))
    theirs = keras.Model(x, K.Dropout(0.5)(x, training=True))
    ours = lq.models.from_keras(keras.Model(x, K.RandomFlip()(K.Reshape((5, 5, 2))(x))))
    values = noise(2, 50)
    np.testing.assert_array_equal(
        ours(values, training=False), values.reshape(2, 5, 5, 2)
    )
    ours = lq.models.from_keras(theirs)
    assert np.mean(ours(values, training=True) == 0) > 0.2


def test_a_layer_class_of_ones_own_is_refused_and_then_converted():
    @keras.saving.register_keras_serializable("theirs")
    class Affine(keras.layers.Layer):
        def build(self, shape):
            self.shift = self.add_weight(shape=(shape[-1],), name="shift")
            self.factor = self.add_weight(shape=(1,), name="factor")

        def call(self, x):
            return self.factor * x + self.shift

    theirs = keras.Sequential([keras.Input((4,)), Affine(name="own")])
    theirs.layers[0].set_weights([np.arange(4.0), np.array([3.0])])
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=r'Affine "own"[\s\S]*keras3_converter'
    ):
        lq.models.from_keras(theirs)

    class Line(tf_keras.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight("factor", (1,))
            self.shift = self.add_weight("shift", (shape[-1],))

        def call(self, x):
            return self.factor * x + self.shift

    @lq.models.keras3_converter(
        Affine, weights=lambda la: [la.factor.numpy(), la.shift.numpy()]
    )
    def convert(layer):
        return Line(name=layer.name)

    equal(lq.models.from_keras(theirs), theirs, noise(2, 4))


def test_a_converter_is_for_layer_classes_of_keras_3():
    with pytest.raises(
        lq.errors.ArgumentError, match=r"derives from keras\.layers\.Layer"
    ):
        lq.models.keras3_converter(tf_keras.layers.Dense)
