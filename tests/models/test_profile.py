"""Profiles as data: weights, bits and precisions, each figure counted by hand."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

layers = tf_keras.layers
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def sequential(*parts, shape) -> tf_keras.Model:
    return tf_keras.Sequential([tf_keras.Input(shape), *parts])


def profile_of(*parts, shape) -> lq.models.ModelProfile:
    return lq.models.profile(sequential(*parts, shape=shape))


def notes_about(layer: lq.models.LayerProfile, about: str) -> str:
    return " / ".join(note.text for note in layer.notes if note.about == about)


def test_the_totals_are_the_sums_that_the_papers_define():
    costs = profile_of(
        lq.layers.QuantDense(16, kernel_quantizer="ste_tern", use_bias=False),  # 8*16
        lq.layers.QuantDense(10, **BINARY),  # 16*10
        layers.Dense(3),  # 10*3 + 3
        shape=(8,),
    )
    assert costs.macs_by_bits == {(1, 1): 160, (2, 32): 128, (32, 32): 30}
    assert costs.macs_by_precision == {1: 160, 32: 158}
    assert costs.macs == 318
    assert (costs.bops, costs.flops) == (160, 158)
    assert costs.ops == 160 / 64 + 158
    assert costs.ace == 160 * 1 * 1 + 128 * 2 * 32 + 30 * 32 * 32
    assert costs.params_by_bits == {1: 160, 2: 128, 32: 33}
    assert costs.params == costs.trained_params == 321
    assert costs.memory_bits == 160 + 2 * 128 + 32 * 33
    assert costs.memory_bits_8bit_fp == 160 + 2 * 128 + 8 * 33
    assert costs.memory_bits_float32 == 32 * 321
    assert costs.compression_ratio == pytest.approx(1472 / 10272)
    assert costs.unknown_layers == ()


def test_deployed_bytes_round_up_tensor_by_tensor():
    # Two binary kernels of 9 values: 2 bytes each, though 18 bits would fit in 3.
    costs = profile_of(
        lq.layers.QuantDense(3, **BINARY), lq.layers.QuantDense(3, **BINARY), shape=(3,)
    )
    assert costs.memory_bits == 18
    assert costs.deployed_bytes == 4
    assert [layer.deployed_bytes for layer in costs.layers] == [2, 2]


def test_a_weight_says_all_that_is_known_of_it():
    costs = profile_of(
        lq.layers.QuantDense(4, kernel_quantizer="ste_sign", name="fc"), shape=(3,)
    )
    kernel, bias = costs.layer("fc").weights
    assert kernel == lq.models.WeightProfile(
        name="fc/kernel",
        shape=(3, 4),
        dtype="float32",
        count=12,
        bits=1,
        trainable=True,
    )
    assert (bias.name, bias.bits, bias.count, bias.fused) == ("fc/bias", 32, 4, False)


def test_half_precision_weights_have_sixteen_bits():
    costs = profile_of(layers.Dense(2, dtype="float16"), shape=(3,))
    assert costs.params_by_bits == {16: 8}
    assert costs.macs_by_bits == {(16, 32): 6}


def test_under_mixed_precision_float_weights_keep_their_32_bits():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        costs = profile_of(
            lq.layers.QuantDense(4, **BINARY), layers.Dense(2), shape=(3,)
        )
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert costs.params_by_bits == {1: 12, 32: 10}
    assert costs.macs_by_bits == {(1, 1): 12, (32, 32): 8}


@pytest.mark.parametrize(
    ("scale", "center", "trainable"),
    [
        (True, True, [True, True]),
        (False, True, [False, True]),
        (True, False, [True, False]),
        (False, False, [False, False]),
    ],
)
def test_a_batch_normalization_deploys_one_scale_and_one_offset(
    scale, center, trainable
):
    part = layers.BatchNormalization(scale=scale, center=center, name="bn")
    model = sequential(part, shape=(5,))
    costs = lq.models.profile(model)
    weights = costs.layer("bn").weights
    assert [weight.name for weight in weights] == ["bn/scale", "bn/offset"]
    assert [weight.count for weight in weights] == [5, 5]
    assert [weight.trainable for weight in weights] == trainable
    assert all(weight.fused for weight in weights)
    assert costs.trained_params == model.count_params() == 5 * (2 + scale + center)


def test_a_frozen_batch_normalization_has_no_trainable_numbers():
    part = layers.BatchNormalization(trainable=False)
    assert profile_of(part, shape=(5,)).trainable_params == 0


def test_layers_whose_names_speak_of_biases_and_norms_count_like_others():
    costs = profile_of(
        layers.Dense(4, name="debias"),
        layers.Dense(4, name="gamma_beta_moving_mean"),
        layers.LayerNormalization(name="batch_normalization"),
        shape=(3,),
    )
    assert costs.layer("debias").macs == 12
    assert costs.layer("gamma_beta_moving_mean").params == 20
    assert [w.fused for w in costs.layer("batch_normalization").weights] == [False] * 2


def test_frozen_layers_are_counted_as_not_trainable():
    costs = profile_of(layers.Dense(4, trainable=False), layers.Dense(2), shape=(3,))
    assert (costs.trainable_params, costs.non_trainable_params) == (10, 16)


def test_the_state_of_metrics_is_no_weight():
    with lq.context.metrics_scope(["flip_ratio"]):
        model = sequential(lq.layers.QuantDense(4, **BINARY), shape=(3,))
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(tf.ones((2, 3)), tf.ones((2, 4)), verbose=0)
    assert model.metrics_names != ["loss"]
    assert lq.models.profile(model).trained_params == 12


def test_a_vocabulary_is_no_weight():
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(tf.constant([["a"], ["b"]]))
    inputs = tf_keras.Input((1,), dtype="string")
    model = tf_keras.Model(inputs, layers.Dense(2)(lookup(inputs)))
    assert lq.models.profile(model).trained_params == 3 * 2 + 2
    lq.models.summary(model, print_fn=lambda text: None)


def test_the_trained_weights_of_a_quantizer_of_inputs_are_weights():
    """Those of a kernel's quantizer are not: a file has them in the levels of the kernel."""

    class Scaled(lq.quantizers.Quantizer):
        precision = 1

        def build(self, input_shape):
            self.scale = self.add_weight("scale", shape=(), initializer="ones")
            super().build(input_shape)

        def call(self, inputs):
            return self.scale * lq.math.sign(inputs)

    costs = profile_of(
        lq.layers.QuantDense(4, kernel_quantizer=Scaled(), use_bias=False), shape=(3,)
    )
    assert costs.params_by_bits == {1: 12}
    costs = profile_of(
        lq.layers.QuantDense(
            4,
            input_quantizer=Scaled(),
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        ),
        shape=(3,),
    )
    assert costs.params_by_bits == {1: 12, 32: 1}


def test_weights_held_by_two_layers_count_once():
    class Tied(layers.Layer):
        def __init__(self, source):
            super().__init__(name="tied")
            self.kernel = source.kernel

        def call(self, inputs):
            return tf.linalg.matmul(inputs, self.kernel, transpose_b=True)

    encoder = layers.Dense(2, use_bias=False, name="encoder")
    encoder.build((None, 3))
    model = sequential(encoder, Tied(encoder), shape=(3,))
    costs = lq.models.profile(model)
    assert costs.params == model.count_params() == 6
    assert costs.layer("tied").params == 0
    assert "encoder" in notes_about(costs.layer("tied"), "layer")


PLAIN_SIGN = lq.quantizers.SteSign


@pytest.mark.parametrize(
    "before",
    [
        lambda: [layers.Activation("ste_sign")],
        lambda: [PLAIN_SIGN()],
        lambda: [layers.Conv2D(2, 1, activation="ste_sign")],
        lambda: [layers.Activation("ste_sign"), layers.Activation("linear")],
        lambda: [layers.Activation("ste_sign"), layers.MaxPooling2D(2)],
        lambda: [layers.Activation("ste_sign"), layers.Dropout(0.5), layers.Flatten()],
        lambda: [layers.Activation("ste_sign"), layers.Permute((2, 1, 3))],
        lambda: [layers.Activation("ste_sign"), layers.UpSampling2D(2)],
        lambda: [sequential(layers.Activation("ste_sign"), shape=(4, 4, 2))],
        lambda: [PLAIN_SIGN(), sequential(layers.Flatten(), shape=(4, 4, 2))],
    ],
)
def test_an_input_that_was_quantized_before_is_binary(before):
    costs = profile_of(
        *before(),
        lq.layers.QuantDense(3, kernel_quantizer="ste_sign", use_bias=False, name="fc"),
        shape=(4, 4, 2),
    )
    assert costs.layer("fc").input_precision == 1
    assert set(costs.layer("fc").macs_by_bits) == {(1, 1)}


@pytest.mark.parametrize(
    "between",
    [
        lambda: layers.BatchNormalization(),
        lambda: layers.AveragePooling2D(2),
        lambda: layers.ZeroPadding2D(1),
        lambda: layers.UpSampling2D(2, interpolation="bilinear"),
        lambda: layers.Activation("relu"),
        lambda: layers.Conv2D(2, 1),
        lambda: layers.Lambda(lambda x: x),
    ],
)
def test_what_computes_in_between_makes_an_input_float_again(between):
    costs = profile_of(
        layers.Activation("ste_sign"),
        between(),
        lq.layers.QuantDense(3, kernel_quantizer="ste_sign", name="fc"),
        shape=(4, 4, 2),
    )
    assert costs.layer("fc").input_precision is None
    assert set(costs.layer("fc").macs_by_bits) == {(1, 32)}


def test_values_picked_from_two_binary_tensors_are_binary_and_sums_are_not():
    inputs = tf_keras.Input((6,))
    left, right = layers.Activation("ste_sign")(inputs), PLAIN_SIGN()(inputs)
    outputs = [
        layers.Dense(1, name="joined")(layers.concatenate([left, right])),
        layers.Dense(1, name="added")(layers.add([left, right])),
        layers.Dense(1, name="sum")(left + right),
        layers.Dense(1, name="sliced")(left[:, 2:]),
        layers.Dense(1, name="mixed")(layers.concatenate([left, inputs])),
        layers.Dense(1, name="reshaped")(tf.reshape(left, (-1, 6))),
    ]
    costs = lq.models.profile(tf_keras.Model(inputs, outputs))
    precisions = {row.name: row.input_precision for row in costs.layers if row.macs}
    assert precisions == {
        "joined": 1,
        "added": None,
        "sum": None,
        "sliced": 1,
        "mixed": None,
        "reshaped": 1,
    }


def test_an_input_quantizer_decides_whatever_came_before():
    costs = profile_of(
        layers.Activation("ste_sign"),
        lq.layers.QuantDense(
            3, input_quantizer=lq.quantizers.DoReFa(k_bit=4), name="fc"
        ),
        shape=(6,),
    )
    assert costs.layer("fc").macs_by_bits == {(32, 4): 18}


def test_quantizers_without_a_precision_count_as_32_bits_and_say_so():
    def rounded(x):
        return tf.round(x)

    costs = profile_of(
        lq.layers.QuantDense(
            4,
            input_quantizer=rounded,
            kernel_quantizer=rounded,
            use_bias=False,
            name="fc",
        ),
        shape=(3,),
    )
    layer = costs.layer("fc")
    assert layer.input_precision == 32
    assert layer.macs_by_bits == {(32, 32): 12}
    assert layer.params_by_bits == {32: 12}
    assert "`rounded` declares no precision" in notes_about(layer, "input")
    assert "lq.utils.set_precision" in notes_about(layer, "layer")


def test_a_quantizer_layer_without_a_precision_says_so_where_its_values_are_used():
    class Rounded(lq.quantizers.Quantizer):
        def forward(self, x):
            return tf.round(x)

    costs = profile_of(
        Rounded(), layers.Flatten(), layers.Dense(4, name="fc"), shape=(3,)
    )
    assert costs.layer("fc").input_precision == 32
    assert "`Rounded` declares no precision" in notes_about(costs.layer("fc"), "input")


def test_a_function_with_a_precision_is_believed():
    @lq.utils.set_precision(2)
    def rounded(x):
        return tf.round(tf.clip_by_value(x, -1, 1))

    costs = profile_of(
        layers.Activation(rounded),
        lq.layers.QuantDense(4, kernel_quantizer=rounded, use_bias=False),
        shape=(3,),
    )
    assert costs.macs_by_bits == {(2, 2): 12}


def test_a_profile_is_plain_data_that_json_takes():
    inputs = tf_keras.Input((None, 3))
    x = lq.layers.QuantDense(4, **BINARY, name="fc")(inputs)
    model = tf_keras.Model(inputs, layers.Lambda(lambda t: t)(x), name="net")
    data = json.loads(json.dumps(lq.models.profile(model).to_dict()))
    assert data["name"] == "net"
    assert data["params_by_bits"] == {"1": 12}
    fc = data["layers"][1]
    assert fc["output_shape"] == [None, None, 4]
    assert fc["weights"][0]["deployed_bytes"] == 2
    assert fc["macs"] is None
    assert "sizes that the model leaves open" in fc["macs_reason"]
    assert len(data["unknown_layers"]) == 2


def test_a_layer_is_found_by_its_path_and_a_wrong_path_lists_them():
    costs = profile_of(layers.Dense(2, name="a"), shape=(3,))
    assert costs.layer("a").class_name == "Dense"
    with pytest.raises(KeyError, match='no layer "b"; it has: a'):
        costs.layer("b")


def test_a_saved_model_costs_the_same_after_loading(tmp_path):
    model = sequential(
        layers.Conv2D(4, 3, activation="ste_sign"),
        lq.layers.QuantConv2D(4, 3, **BINARY),
        layers.BatchNormalization(),
        shape=(8, 8, 1),
    )
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    assert lq.models.profile(loaded) == lq.models.profile(model)


def test_a_fixed_batch_size_does_not_multiply_the_costs():
    inputs = tf_keras.Input((5, 5, 2), batch_size=8)
    row = lq.models.profile(
        tf_keras.Model(inputs, layers.Conv2D(3, 3, name="conv")(inputs))
    ).layer("conv")
    assert row.output_shape == (8, 3, 3, 3)
    assert row.macs == 9 * 2 * 3 * 9


def test_profiling_changes_nothing_in_the_model():
    inputs = tf_keras.Input((None, None, 3))
    conv = layers.Conv2D(2, 3, activity_regularizer="l2")
    outputs = layers.Dense(2)(tf.reduce_mean(conv(inputs) + 1.0, axis=[1, 2]))
    model = tf_keras.Model(inputs, outputs)
    before = [len(layer.inbound_nodes) for layer in model.layers]
    weights, losses = model.get_weights(), len(model.losses)
    lq.models.profile(model, input_shape=(None, 8, 8, 3))
    assert [len(layer.inbound_nodes) for layer in model.layers] == before
    assert len(model.losses) == losses
    for old, new in zip(weights, model.get_weights(), strict=True):
        assert (old == new).all()
    model.compile("sgd", "mse")
    model.fit(tf.ones((2, 8, 8, 3)), tf.ones((2, 2)), verbose=0)


@pytest.mark.parametrize("function", [lq.models.profile, lq.models.summary])
def test_an_unbuilt_model_is_refused_with_the_way_to_build_it(function):
    where = f"lq.models.{function.__name__}"
    with pytest.raises(
        lq.errors.UnbuiltModelError, match=r"(?s)no weights yet.*Fix: .*build"
    ):
        function(tf_keras.Sequential([layers.Dense(2)], name="unbuilt"))
    with pytest.raises(ValueError, match=where + ': "unbuilt"'):
        function(tf_keras.Sequential([layers.Dense(2)], name="unbuilt"))


@pytest.mark.parametrize("model", ["model.h5", None, 3, layers.Layer()])
def test_what_is_no_model_is_refused_with_the_fix(model):
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)no tf_keras model.*Fix: "):
        lq.models.profile(model)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 8, 8, 1), "does not fit the input"),
        ((None, 8), "does not fit the input"),
        ([(None, 8, 8, 3)] * 2, "has 1 inputs"),
        ("8x8", "which is no shape"),
    ],
)
def test_an_input_shape_that_does_not_fit_is_refused(shape, message):
    model = sequential(layers.Conv2D(2, 3), shape=(None, None, 3))
    with pytest.raises(lq.errors.ArgumentError, match=f"(?s){message}.*Fix: "):
        lq.models.profile(model, input_shape=shape)
