"""What is no model, not built, or not to be followed is said in one way by every function."""

import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

# Functions that take a model, and whether one with a `call` of its own will do.
FUNCTIONS = {
    "lq.models.profile": (lq.models.profile, True),
    "lq.models.summary": (lq.models.summary, True),
    "lq.models.quantized_weights": (lq.models.quantized_weights, True),
    "lq.models.freeze": (lq.models.freeze, True),
    "lq.deploy.export": (lambda model: lq.deploy.export(model, "net.onnx"), False),
    "lq.qat.quantize_model": (lq.qat.quantize_model, False),
    "lq.qat.report": (lq.qat.report, False),
    "lq.integer.quantize": (lq.integer.models.quantize, False),
    "lq.integer.check_quantization": (lq.integer.models.check_quantization, False),
}
FOLLOWED = [name for name, (_, subclassed) in FUNCTIONS.items() if not subclassed]


@tf_keras.saving.register_keras_serializable("test_require_model")
class Subclassed(tf_keras.Model):
    def call(self, inputs):
        return 2 * inputs


def said(name, model, error):
    """What is said behind the name of the function."""
    with pytest.raises(error) as raised:
        FUNCTIONS[name][0](model)
    assert isinstance(raised.value, lq.errors.LarqliteError)
    return str(raised.value).removeprefix(f"{name}: ")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_model_is_named_by_its_class(name):
    text = said(name, {"net": 1}, (ValueError, TypeError))
    assert text.startswith(
        "got dict \"{'net': 1}\", which is no tf_keras model.\n  Fix: "
    )


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_model_with_a_call_of_its_own_is_refused_where_layers_are_followed(name):
    model = Subclassed(name="mine")
    model.build((None, 3))
    text = said(name, model, lq.errors.UnsupportedModelError)
    assert text.startswith('"mine" is a subclassed model (Subclassed): ')
    inputs = tf_keras.Input((3,))  # the way out that it names
    functional = tf_keras.Model(inputs, model.call(inputs))
    assert functional(tf.constant([[1.0, 2.0, 3.0]]))[0, 2] == 6


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if "qat" not in n])
def test_a_model_without_weights_is_refused_with_the_input_to_give_it(name):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2)], name="net")
    text = said(name, model, lq.errors.UnbuiltModelError)
    assert text.startswith(
        '"net" has no weights yet, because it does not know the size'
    )
    assert "Fix: begin it with tf_keras.Input(" in text
