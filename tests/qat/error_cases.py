"""Bad input: what is handed in, what is done with it, the error, and what it says."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.errors import (
    ArgumentError,
    KerasVersionError,
    QuantizerError,
    UnbuiltModelError,
    UnknownQuantizerError,
    UnsupportedLayerError,
    UnsupportedModelError,
)

layers = tf_keras.layers
annotate = qat.quantize_annotate_layer


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


class Unheard(layers.Layer):
    def call(self, inputs):
        return inputs * 1.0


class Secretive(layers.Dense):
    """Takes an argument that its configuration does not tell."""

    def __init__(self, secret, units=2, **kwargs):
        super().__init__(units, **kwargs)
        self.secret = secret


class ForgetfulConfig(qat.QuantizeConfig):
    """Quantizes a kernel, and does not set it."""

    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, qat.quantizers.LastValueQuantizer())]

    def get_activations_and_quantizers(self, layer):
        return []

    def get_output_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        return


class ArrayConfig(ForgetfulConfig):
    def get_weights_and_quantizers(self, layer):
        return [(np.ones(3), qat.quantizers.LastValueQuantizer())]


class Demanding(qat.quantizers.Quantizer):
    def __call__(self, inputs, temperature):
        return inputs


def dense(name="fc", **kwargs):
    return layers.Dense(2, input_shape=(3,), name=name, **kwargs)


def sequential(*parts):
    return tf_keras.Sequential(list(parts), name="net")


def keras_3():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def quantize(model):
    return qat.quantize_model(model)


def apply(model):
    return qat.quantize_apply(model)


def marked(config=None, layer=None):
    return sequential(annotate(layer or dense(), config))


def scheme(identifier):
    return lambda model: qat.quantize_model(model, scheme=identifier)


X = np.ones((4, 3), "float32")
BAD_ROW = np.array([[0.0, np.nan, 1.0]], "float32")


def calibrated(data, **options):
    return lambda model: qat.calibrate(qat.quantize_model(model), data, **options)


# What is handed in; what is done; the error; parts of what it says.
CASES = {
    "None to quantize_model": (
        *(lambda: None, quantize, ArgumentError),
        *("lq.qat.quantize_model: got NoneType 'None'", "no tf_keras model"),
    ),
    "None to quantize_apply": (
        *(lambda: None, apply, ArgumentError),
        *("lq.qat.quantize_apply: ", "got NoneType"),
    ),
    "None to quantize_annotate_model": (
        *(lambda: None, qat.quantize_annotate_model, ArgumentError),
        *("lq.qat.quantize_annotate_model: ", "got NoneType"),
    ),
    "None to quantize_annotate_layer": (
        *(lambda: None, annotate, ArgumentError),
        *("`to_annotate` must be a tf_keras layer", "got None"),
    ),
    "a layer for a model": (dense, quantize, ArgumentError, "got Dense "),
    "a word for a model": (lambda: "resnet", quantize, ArgumentError, "'resnet'"),
    "a Keras 3 layer": (
        *(lambda: keras.layers.Dense(2), annotate, KerasVersionError),
        "lq.qat.quantize_annotate_layer: got a Keras 3 object",
    ),
    "a Keras 3 model to calibrate": (
        *(keras_3, lambda m: qat.calibrate(m, X), KerasVersionError),
        *("lq.qat.calibrate: got a Keras 3 object", "lq.models.from_keras(model)"),
        *("import tf_keras", "TF_USE_LEGACY_KERAS=1"),
    ),
    "a subclassed model": (
        *(Subclassed, quantize, UnsupportedModelError),
        *('"mine" is a subclassed model (Subclassed)', "tf_keras.Input(shape)"),
    ),
    "an unbuilt model": (
        *(lambda: sequential(layers.Dense(2)), quantize, UnbuiltModelError),
        *('the model "net" is not built', "tf_keras.Input(shape)"),
    ),
    "an unbuilt model to apply": (
        *(lambda: sequential(annotate(layers.Dense(2))), apply, UnbuiltModelError),
        "lq.qat.quantize_apply: ",
    ),
    "nothing annotated": (
        *(lambda: sequential(dense()), apply, ArgumentError),
        *('no layer of "net" is annotated', "quantize_model(model)"),
    ),
    "a config class": (
        *(dense, lambda x: annotate(x, qat.NoOpQuantizeConfig), ArgumentError),
        *('`quantize_config` of "fc"', "Did you mean NoOpQuantizeConfig()?"),
    ),
    "a word for a config": (
        *(dense, lambda layer: annotate(layer, "int8"), ArgumentError),
        "must be an instance of QuantizeConfig, got 'int8'",
    ),
    "a dictionary for a config in a wrapper": (
        *(dense, lambda layer: qat.QuantizeWrapperV2(layer, {}), ArgumentError),
        *('quantize_config of "fc" must be a QuantizeConfig instance, got {}',),
    ),
    "a model of numbers in a wrapper": (
        *(lambda: 3, lambda x: qat.QuantizeWrapperV2(x, qat.NoOpQuantizeConfig())),
        *(ArgumentError, "`layer` must be a tf_keras layer, got 3"),
    ),
    "an unknown layer": (
        *(lambda: sequential(dense(), Unheard(name="odd")), quantize),
        *(UnsupportedLayerError, 'no rule for the layer "odd" of class Unheard'),
        *(
            "quantize_annotate_layer(layer, config)",
            "add_rule(Unheard",
            '"odd": "float"',
        ),
    ),
    "an unknown scheme": (
        *(lambda: sequential(dense()), scheme("int8x"), ArgumentError),
        *("lq.qat.quantize_model: unknown scheme 'int8x'", 'Did you mean "int8"'),
    ),
    "a misspelt scheme": (
        *(lambda: sequential(dense()), scheme("binery"), ArgumentError),
        'Did you mean "binary"?',
    ),
    "a width that is too large": (
        *(lambda: sequential(dense()), scheme("int17"), ArgumentError),
        *("unknown scheme 'int17'", '"int1" to "int16"'),
    ),
    "a scheme class": (
        *(lambda: sequential(dense()), scheme(qat.Default8BitQuantizeScheme)),
        *(ArgumentError, "You passed the class; write Default8BitQuantizeScheme()."),
    ),
    "a number for a scheme": (
        *(lambda: sequential(dense()), scheme(8), ArgumentError, "got 8"),
    ),
    "a pattern that fits nothing": (
        *(lambda: sequential(dense()), scheme({"conv*": "int4", "*": "int8"})),
        *(ArgumentError, "no layer fits 'conv*'", "the layers are fc"),
    ),
    "an unknown scheme in a pattern": (
        *(lambda: sequential(dense()), scheme({"*": "int88"}), ArgumentError),
        "unknown scheme 'int88'",
    ),
    "quantized already": (
        *(lambda: qat.quantize_model(sequential(dense())), quantize),
        *(UnsupportedModelError, '"net" is quantization-aware already'),
        *("quantize_layer", "pass the float model it was made from"),
    ),
    "quantized already, in part of a model": (
        lambda: sequential(
            tf_keras.Input((3,)), qat.quantize_model(sequential(dense()))
        ),
        *(quantize, UnsupportedModelError, "is quantization-aware already"),
    ),
    "a layer without its arguments": (
        *(lambda: sequential(Secretive(7, input_shape=(3,), name="mum")), scheme(None)),
        *(UnsupportedLayerError, 'the layer "mum" of class Secretive'),
    ),
    "an annotated layer without its arguments": (
        lambda: marked(ForgetfulConfig(), Secretive(7, input_shape=(3,), name="mum")),
        *(apply, UnsupportedModelError, 'unable to clone the layer "mum" (Secretive)'),
        *("missing 1 required positional argument: 'secret'", "get_config"),
    ),
    "a config that sets nothing": (
        *(lambda: marked(ForgetfulConfig()), apply, QuantizerError),
        *("ForgetfulConfig.set_quantize_weights does not set", "fc/kernel:0"),
        "layer.kernel = quantize_weights[0]",
    ),
    "a config with an array": (
        *(lambda: marked(ArrayConfig()), apply, QuantizerError),
        *('Dense "fc"', "no variable that the layer made", "(layer.kernel, quantizer)"),
    ),
    "a config with an unknown quantizer": (
        *(lambda: None, lambda _: qat.LayerQuantizeConfig({"kernel": "ste_sing"})),
        *(UnknownQuantizerError, 'unknown quantizer "ste_sing"', '"ste_sign"'),
    ),
    "a config with an unknown attribute": (
        *(lambda: marked(qat.LayerQuantizeConfig({"kernle": "ste_sign"})), apply),
        *(QuantizerError, "Dense \"fc\" has no attribute 'kernle'", "'kernel'"),
    ),
    "a config with an unknown part": (
        *(lambda: marked(qat.LayerQuantizeConfig({"cell.kernel": "ste_sign"})), apply),
        *(QuantizerError, "Dense \"fc\": 'cell.kernel' leads nowhere"),
    ),
    "a quantizer that wants more": (
        *(lambda: marked(qat.LayerQuantizeConfig(outputs=Demanding())), apply),
        *(QuantizerError, "Demanding.__call__ requires `temperature`"),
    ),
    "data of NaN": (
        *(lambda: sequential(dense()), calibrated(BAD_ROW), ArgumentError),
        *('lq.qat.calibrate: batch 0 has inputs of "net"', "NaN"),
    ),
    "NaN in the second batch": (
        *(lambda: sequential(dense()), calibrated([X, BAD_ROW]), ArgumentError),
        "batch 1 has inputs",
    ),
    "no batch": (
        *(lambda: sequential(dense()), calibrated(iter(())), ArgumentError),
        *("the data has no batch", "a generator can be read only once"),
    ),
    "no data": (
        *(lambda: sequential(dense()), calibrated(None), ArgumentError),
        "None is no data",
    ),
    "data of the wrong shape": (
        *(lambda: sequential(dense()), calibrated(np.ones((4, 5))), ArgumentError),
        *('batch 0 has the shapes (4, 5), but the inputs of "net" are "fc_input"',),
    ),
    "data without labels as a pair": (
        *(lambda: sequential(dense()), calibrated([[X, X]]), ArgumentError),
        *("has the shapes (4, 3), (4, 3)", "(inputs, labels)"),
    ),
    "data without an end": (
        lambda: sequential(dense()),
        lambda m: calibrated(qat_data().repeat())(m),
        *(ArgumentError, "repeats without an end", "steps=100"),
    ),
    "calibrating a float model": (
        *(lambda: sequential(dense()), lambda m: qat.calibrate(m, X), ArgumentError),
        *('no layer of "net" is quantization-aware', "lq.qat.quantize_model(model)"),
    ),
    "a scope of a class": (
        *(lambda: dense, qat.quantize_scope, ArgumentError, "{'MyLayer': MyLayer}"),
    ),
    "a rule of a word": (
        *(lambda: "Dense", lambda x: qat.add_rule(x, qat.Rule()), ArgumentError),
        "'Dense' is no class of tf_keras layers",
    ),
    "a rule that is none": (
        *(lambda: Unheard, lambda x: qat.add_rule(x, {"kernel": True}), ArgumentError),
        "is no lq.qat.Rule",
    ),
    "fixing the range of a float model": (
        *(lambda: sequential(dense()), qat.fix_input_output_range),
        *(UnsupportedModelError, 'the inputs of "net" are not quantized'),
    ),
    "removing the range of a float model": (
        *(lambda: sequential(dense()), qat.remove_input_range),
        *(UnsupportedModelError, "lq.qat.quantize_model(model)"),
    ),
}


def qat_data():
    return tf.data.Dataset.from_tensor_slices(X).batch(2)
