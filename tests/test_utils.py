"""The helpers of larqlite.utils: sizes, names known to Keras, precisions, patches."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import utils


@pytest.fixture
def custom_objects():
    """Puts Keras' table of custom objects back after the test."""
    known = tf_keras.saving.get_custom_objects()
    before = dict(known)
    yield known
    known.clear()
    known.update(before)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (0, "0.00 B"),
        (1, "0.12 B"),
        (8, "1.00 B"),
        (8191, "1,023.88 B"),
        (8192, "1.00 KiB"),
        (12345.5, "1.51 KiB"),
        (8 * 1024**2, "1.00 MiB"),
        (8 * 1024**3, "1.00 GiB"),
        (2**43, "1,024.00 GiB"),
        (2**60, "134,217,728.00 GiB"),
    ],
)
def test_bits_read_as_larq_prints_them(bits, text):
    assert utils.memory_as_readable_str(bits) == text


def test_a_registered_layer_loads_from_a_keras_file(tmp_path, custom_objects):
    @utils.register_keras_custom_object
    class Halve(tf_keras.layers.Layer):
        def call(self, inputs):
            return inputs / 2

    model = tf_keras.Sequential([Halve(input_shape=(3,))])
    model.save(tmp_path / "halve.keras")
    loaded = tf_keras.models.load_model(tmp_path / "halve.keras")
    assert loaded(tf.ones((1, 3))).numpy().tolist() == [[0.5, 0.5, 0.5]]
    assert custom_objects["larqlite>Halve"] is Halve


def test_a_name_that_another_class_holds_is_left_to_it(custom_objects):
    class Foreign:
        pass

    custom_objects["Scale"] = custom_objects["to_scale"] = Foreign

    @utils.register_alias("to_scale")
    @utils.register_keras_custom_object
    class Scale(tf_keras.layers.Layer):
        pass

    assert custom_objects["Scale"] is Foreign
    assert custom_objects["to_scale"] is Foreign
    assert tf_keras.saving.get_registered_object("larqlite>Scale") is Scale


def test_a_class_defined_again_takes_its_own_place(custom_objects):
    def cell():
        @utils.register_alias("again")
        @utils.register_keras_custom_object
        class Again(tf_keras.layers.Layer):
            pass

        return Again

    cell()
    second = cell()
    assert custom_objects["Again"] is second
    assert custom_objects["again"] is second
    assert custom_objects["larqlite>Again"] is second


def test_an_object_registered_with_keras_keeps_its_name(custom_objects):
    @utils.register_keras_custom_object
    @tf_keras.saving.register_keras_serializable("mine")
    class Kept(tf_keras.layers.Layer):
        pass

    assert tf_keras.saving.get_registered_name(Kept) == "mine>Kept"
    assert custom_objects["Kept"] is Kept
    assert "larqlite>Kept" not in custom_objects


def test_a_class_without_a_config_is_known_by_its_bare_name_only(custom_objects):
    @utils.register_keras_custom_object
    class Bare:
        pass

    assert custom_objects["Bare"] is Bare
    assert "larqlite>Bare" not in custom_objects


def test_an_aliased_function_works_as_an_activation_string(custom_objects):
    @utils.register_alias("times_three")
    def tripled(x):
        return 3 * x

    layer = tf_keras.layers.Activation("times_three")
    assert layer(tf.constant([2.0])).numpy().tolist() == [6.0]


def test_set_precision_marks_a_function_and_leaves_it_as_it_is():
    @utils.set_precision(2)
    def quantize(x):
        return x

    @utils.set_precision()
    def keep(x):
        return x

    assert (quantize.precision, keep.precision) == (2, 32)
    assert quantize(5) == 5


@pytest.mark.parametrize("precision", [0, -1, 1.5, "one", None])
def test_a_precision_that_counts_no_bits_is_refused(precision):
    with pytest.raises(lq.errors.ArgumentError, match="set_precision"):
        utils.set_precision(precision)


class Thing:
    shared = "class"

    def __init__(self):
        self.own = "own"
        self._hidden = "property"

    @property
    def prop(self):
        return self._hidden

    @prop.setter
    def prop(self, value):
        self._hidden = value


@pytest.mark.parametrize("name", ["own", "shared", "prop"])
def test_a_patched_attribute_returns_after_an_exception(name):
    thing = Thing()
    before, attributes = getattr(thing, name), dict(vars(thing))
    with pytest.raises(RuntimeError, match="inside"):  # noqa: PT012
        with utils.patch_object(thing, name, "patched"):
            assert getattr(thing, name) == "patched"
            raise RuntimeError("inside")
    assert getattr(thing, name) == before
    assert vars(thing) == attributes


def test_patching_a_class_keeps_its_descriptors():
    class Static:
        @staticmethod
        def f():
            return "static"

    with utils.patch_object(Static, "f", staticmethod(lambda: "patched")):
        assert Static().f() == "patched"
    assert Static().f() == "static"
    assert isinstance(vars(Static)["f"], staticmethod)


def test_a_patched_method_of_a_keras_layer_comes_back():
    layer = tf_keras.layers.Dense(2, kernel_initializer="ones", use_bias=False)
    x = tf.ones((1, 2))
    with utils.patch_object(layer, "call", lambda inputs: inputs + 10):
        assert layer(x).numpy().tolist() == [[11.0, 11.0]]
    assert layer(x).numpy().tolist() == [[2.0, 2.0]]
    assert "call" not in vars(layer)


def test_patching_a_missing_attribute_names_it():
    with pytest.raises(AttributeError, match="unitz"):
        with utils.patch_object(tf_keras.layers.Dense(2), "unitz", 3):
            pass
