"""Bad input: each error says what, where and the fix, and leaves the model as it was."""

import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import errors, qat
from larqlite.errors import (
    ArgumentError,
    KerasVersionError,
    LarqliteError,
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


class Doubled(tf_keras.regularizers.Regularizer):
    """Keras writes its name into a config, and does not know it."""

    def __call__(self, x):
        return 2.0 * tf_keras.backend.sum(x)

    def get_config(self):
        return {}


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
        *("lq.qat.quantize_model: expected a tf_keras Sequential", "got None"),
    ),
    "None to quantize_apply": (
        *(lambda: None, apply, ArgumentError),
        *("lq.qat.quantize_apply: ", "got None"),
    ),
    "None to quantize_annotate_model": (
        *(lambda: None, qat.quantize_annotate_model, ArgumentError),
        *("lq.qat.quantize_annotate_model: ", "got None"),
    ),
    "None to quantize_annotate_layer": (
        *(lambda: None, annotate, ArgumentError),
        *("`to_annotate` must be a tf_keras layer", "got None"),
    ),
    "a layer for a model": (dense, quantize, ArgumentError, "functional model, got <"),
    "a word for a model": (lambda: "resnet", quantize, ArgumentError, "'resnet'"),
    "a Keras 3 model": (
        *(keras_3, quantize, KerasVersionError),
        *("got a Keras 3 object", "import tf_keras", "TF_USE_LEGACY_KERAS=1"),
    ),
    "a Keras 3 model to apply": (keras_3, apply, KerasVersionError, "Keras 3"),
    "a Keras 3 model to annotate": (
        *(keras_3, qat.quantize_annotate_model, KerasVersionError),
        "lq.qat.quantize_annotate_model: got a Keras 3 object",
    ),
    "a Keras 3 layer": (
        *(lambda: keras.layers.Dense(2), annotate, KerasVersionError),
        "lq.qat.quantize_annotate_layer: got a Keras 3 object",
    ),
    "a Keras 3 model to calibrate": (
        *(keras_3, lambda m: qat.calibrate(m, X), KerasVersionError),
        "lq.qat.calibrate: got a Keras 3 object",
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
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(X).batch(2)


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_what_is_wrong_where_and_how_to_mend_it(name):
    make, act, error, *parts = CASES[name]
    given = make()
    is_model = isinstance(given, tf_keras.Model) and given.built
    weights = given.get_weights() if is_model else []
    config = given.get_config() if is_model and given.inputs else None
    with pytest.raises(error) as raised:
        act(given)
    message = str(raised.value)
    for part in parts:
        assert part in message, message
    assert isinstance(raised.value, LarqliteError)
    assert isinstance(raised.value, (ValueError, TypeError, RuntimeError))
    if is_model:
        for before, after in zip(weights, given.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
    if config is not None:
        assert given.get_config() == config
        given(np.ones((1, *given.input_shape[1:])))


def test_a_keras_object_of_ones_own_needs_no_scope_within_the_process():
    model = sequential(dense(kernel_regularizer=Doubled()))
    quantized = qat.quantize_model(model)
    assert type(quantized.layers[-1].layer.kernel_regularizer) is Doubled


@pytest.mark.slow
def test_a_custom_object_outside_of_the_scope_is_named_when_a_file_is_read(
    tmp_path, run_python
):
    path = str(tmp_path / "model.keras")
    own = """
    import numpy as np, tf_keras
    from larqlite import qat
    class Mine(qat.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return [(layer.kernel, qat.quantizers.LastValueQuantizer())]
        def get_activations_and_quantizers(self, layer):
            return []
        def get_output_quantizers(self, layer):
            return []
    """
    run_python(
        own
        + f"""
    dense = tf_keras.layers.Dense(2, input_shape=(3,))
    model = tf_keras.Sequential([qat.quantize_annotate_layer(dense, Mine())])
    qat.quantize_apply(model, calibrate=np.ones((4, 3))).save({path!r})
    """
    )
    with pytest.raises((ValueError, TypeError), match="Mine"):
        tf_keras.models.load_model(path)
    said = run_python(
        own
        + f"""
    with qat.quantize_scope({{"Mine": Mine}}):
        model = tf_keras.models.load_model({path!r})
    print(model.layers[-1].quantize_config.__class__.__name__)
    """
    )
    assert said.split()[-1] == "Mine"


def test_after_an_error_the_ranges_are_those_from_before():
    model = qat.quantize_model(sequential(dense()), calibrate=X)
    before = model.get_weights()
    with pytest.raises(ArgumentError, match="batch 1"):
        qat.calibrate(model, [3 * X, BAD_ROW])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_lambda_layer_is_warned_of_and_left_as_it_is(caplog):
    model = sequential(dense(), layers.Lambda(lambda x: 2 * x, name="anything"))
    quantized = qat.quantize_model(model, calibrate=X)
    assert '"anything" may compute anything' in caplog.text
    assert type(quantized.layers[-1]) is layers.Lambda
    step = np.ptp(np.append(model(X), 0)) / 255
    assert np.abs(quantized(X) - model(X)).max() < 6 * step


def test_unset_ranges_are_warned_of_once_and_calibrated_ones_not(caplog):
    qat.quantize_model(sequential(dense()))
    assert caplog.text.count("ranges") == 1
    assert "calibrate=data" in caplog.text
    caplog.clear()
    qat.quantize_model(sequential(dense()), calibrate=X)
    assert caplog.text == ""


def test_a_scheme_that_leaves_all_layers_float_is_told_so():
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ArgumentError, match=r"every layer .* float"):
        qat.quantize_model(model, scheme="float")


def test_a_model_without_ranges_is_not_warned_of_them(caplog):
    dense = [tf_keras.layers.Dense(4, name=name) for name in ("a", "b", "c")]
    model = tf_keras.Sequential([tf_keras.Input((4,)), *dense])
    qat.binarize(model, ends="float")
    assert "ranges" not in caplog.text


def test_what_a_quantization_aware_model_has_learnt_goes_back_to_the_float_one():
    model = tf_keras.Sequential(
        [layers.Dense(4, activation="relu", input_shape=(3,)), layers.Dense(2)]
    )
    x = np.random.default_rng(0).integers(0, 100, (32, 3)).astype("float32")
    quantized = qat.quantize_model(model, calibrate=x)
    quantized.layers[1].layer.kernel.assign_add(tf.ones((3, 4)))
    with pytest.raises(errors.UnsupportedModelError) as caught:
        lq.integer.models.quantize(quantized, samples=x)
    fix = str(caught.value).partition("goes back by\n")[2]
    exec(textwrap.dedent(fix), {"quantized": quantized, "float_model": model})
    learnt = quantized.layers[1].layer.kernel
    np.testing.assert_array_equal(model.layers[0].kernel, learnt)
    lq.integer.models.quantize(model, samples=x)


class NoGetters(qat.QuantizeConfig):
    """Every method a `pass`, as in the tests of TFMOT."""

    def get_weights_and_quantizers(self, layer):
        pass

    def get_activations_and_quantizers(self, layer):
        pass

    def get_output_quantizers(self, layer):
        pass

    def set_quantize_weights(self, layer, quantize_weights):
        pass

    def set_quantize_activations(self, layer, quantize_activations):
        pass


def annotated(config):
    dense = layers.Dense(3, input_shape=(4,))
    return tf_keras.Sequential([qat.quantize_annotate_layer(dense, config)])


def test_getters_that_return_none_name_nothing():
    model = qat.quantize_apply(annotated(NoGetters()), calibrate=np.ones((2, 4)))
    assert model(np.ones((2, 4))).shape == (2, 3)
    report = qat.report(model, verbose=False)
    assert report.with_status("quantized") == ("quantize_layer",)  # the input


@pytest.mark.parametrize(
    "returned", [5, "ste_sign", [1], [(None, None)]], ids=["5", "word", "one", "none"]
)
def test_getters_that_return_something_else_are_refused_by_name(returned):
    class Strange(NoGetters):
        def get_weights_and_quantizers(self, layer):
            return returned

    with pytest.raises(errors.QuantizerError, match=r"Strange\.get_weights"):
        qat.quantize_apply(annotated(Strange()))


REGISTRIES = (
    lambda: qat.default_8bit.Default8BitQuantizeRegistry(),
    lambda: qat.experimental.default_n_bit.DefaultNBitQuantizeRegistry(),
    lambda: qat.BinaryScheme().get_quantize_registry(),
)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_registry_names_the_class_that_it_does_not_support(registry):
    layer = type("Mine", (layers.Layer,), {})(name="my_layer")
    assert not registry().supports(layer)
    with pytest.raises(ValueError, match='"my_layer" of class Mine'):
        registry().get_quantize_config(layer)


FOLLOWED = {
    "quantize_model": qat.quantize_model,
    "annotate": qat.quantize_annotate_model,
    "binarize": qat.binarize,
    "report": qat.report,
    "to_tflite": qat.to_tflite,
    "summary": lq.models.summary,
    "profile": lq.models.profile,
    "freeze": lq.models.freeze,
    "export": lambda model: lq.deploy.export(model, "model.onnx"),
    "integer": lq.integer.models.quantize,
}


def test_graph_mode_is_refused_by_name():
    eager = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))], name="net")
    with tf.Graph().as_default():
        symbolic = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))], name="net")
        for function in FOLLOWED.values():
            for model in (eager, symbolic):
                with pytest.raises(errors.GraphModeError, match='"net"'):
                    function(model)
    for function in FOLLOWED.values():
        with pytest.raises(errors.GraphModeError, match=r"was built in a tf\.Graph"):
            function(symbolic)


def test_no_name_of_another_library_is_taken():
    taken = {
        name: obj
        for name, obj in tf_keras.saving.get_custom_objects().items()
        if getattr(obj, "__module__", "").startswith("larqlite.qat")
    }
    bare = {name for name in taken if not name.startswith("larqlite>")}
    assert bare == {"QuantizedActivation"}
    assert {"larqlite>QuantizeWrapperV2", "larqlite>LastValueQuantizer"} < set(taken)
