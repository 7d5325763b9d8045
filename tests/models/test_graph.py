"""Shared, nested and subclassed models: every use counts once, at its own size."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

layers = tf_keras.layers


def notes_of(row: lq.models.LayerProfile) -> str:
    return " / ".join(note.text for note in row.notes)


def block(size, name="block") -> tf_keras.Model:
    """A convolution of 9 * 2 * 2 = 36 weights with "same" padding, and its shortcut."""
    inputs = tf_keras.Input(size)
    conv = layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")
    return tf_keras.Model(inputs, inputs + conv(inputs), name=name)


def test_a_shared_layer_counts_weights_once_and_operations_for_each_use():
    shared = layers.Conv2D(2, 3, name="shared")  # 9 * 2 * 2 + 2 weights
    small, large = tf_keras.Input((5, 5, 2)), tf_keras.Input((9, 8, 2))
    model = tf_keras.Model([small, large], [shared(small), shared(large)])
    row = lq.models.profile(model).layer("shared")
    assert row.calls == 2
    assert row.params == 38
    assert row.macs == 36 * 3 * 3 + 36 * 7 * 6
    assert "used 2 times" in notes_of(row)
    assert "of the first use" in notes_of(row)


def test_uses_with_different_inputs_keep_their_own_precision():
    inputs = tf_keras.Input((6,))
    shared = lq.layers.QuantDense(6, kernel_quantizer="ste_sign", name="shared")
    twice = shared(layers.Activation("ste_sign")(shared(inputs)))
    row = lq.models.profile(tf_keras.Model(inputs, twice)).layer("shared")
    assert row.macs_by_bits == {(1, 1): 36, (1, 32): 36}
    assert row.input_precision is None
    assert "differs from use to use: 1, none" in notes_of(row)


def test_uses_in_other_models_do_not_count():
    inputs = tf_keras.Input((6,))
    shared = layers.Dense(4, name="shared")
    first = tf_keras.Model(inputs, shared(inputs))
    shared(tf_keras.Input((6,)))
    tf_keras.Model(inputs, layers.Dense(3)(first.output))
    row = lq.models.profile(first).layer("shared")
    assert (row.calls, row.macs) == (1, 24)


def test_a_model_cut_out_of_another_counts_its_part_only():
    inputs = tf_keras.Input((6,))
    hidden = layers.Dense(4)(inputs)
    model = tf_keras.Model(hidden, layers.Dense(3, name="top")(hidden))
    costs = lq.models.profile(model)
    assert costs.macs == 4 * 3
    assert costs.params == 4 * 3 + 3


def test_nested_models_unfold_under_their_path():
    outer = tf_keras.Sequential(
        [
            tf_keras.Input((5, 5, 2)),
            block((5, 5, 2)),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name="outer",
    )
    costs = lq.models.profile(outer)
    assert costs.layers[0].path == "block/conv"
    assert costs.layer("block/conv").macs == 36 * 25
    assert costs.macs == 36 * 25 + 50 * 3
    assert costs.trained_params == outer.count_params()
    assert "block" not in [row.path for row in costs.layers]


def test_a_nested_model_of_open_size_counts_at_the_size_it_is_used_with():
    inner = block((None, None, 2))
    inputs = tf_keras.Input((7, 6, 2))
    x = layers.MaxPooling2D(2)(inner(inputs))
    costs = lq.models.profile(tf_keras.Model(inputs, inner(x)))
    row = costs.layer("block/conv")
    assert row.calls == 2
    assert row.macs == 36 * 7 * 6 + 36 * 3 * 3
    assert row.output_shape == (None, 7, 6, 2)
    assert costs.unknown_layers == ()


def test_models_nest_more_than_once():
    inputs = tf_keras.Input((4, 4, 2))
    middle = tf_keras.Sequential([block((None, None, 2)), layers.ReLU()], name="middle")
    costs = lq.models.profile(tf_keras.Model(inputs, middle(inputs)))
    assert costs.layer("middle/block/conv").macs == 36 * 16


def test_an_input_shape_reaches_every_layer():
    inputs = tf_keras.Input((None, None, 2))
    x = layers.Conv2D(4, 3, strides=2)(block((None, None, 2))(inputs))
    x = tf.reshape(x, (-1, tf.shape(x)[1] * tf.shape(x)[2], 4))
    x = layers.Conv1D(3, 1, name="last")(tf.concat([x, x], axis=-1))
    model = tf_keras.Model(inputs, layers.GlobalAveragePooling1D()(x))
    assert lq.models.profile(model).layer("block/conv").macs is None
    for size in [(None, 9, 7, 2), (9, 7, 2)]:
        costs = lq.models.profile(model, input_shape=size)
        assert costs.layer("block/conv").macs == 36 * 63
        assert costs.layer("conv2d").macs == 72 * 4 * 3
    # What tf.reshape computes from a tensor of sizes is not known before it runs.
    assert costs.layer("last").macs is None


def test_a_size_at_which_the_model_cannot_run_is_said_to_fail():
    inputs = tf_keras.Input((None, 1))
    x = layers.Reshape((16,), name="fixed")(inputs)
    model = tf_keras.Model(inputs, layers.Dense(2, name="last")(x))
    assert lq.models.profile(model, input_shape=(16, 1)).notes == ()
    costs = lq.models.profile(model, input_shape=(15, 1))
    assert "output shape of fixed is unknown" in costs.notes[0]
    assert costs.layer("fixed").output_shape is None


def test_unknown_sizes_are_never_negative():
    inputs = tf_keras.Input((None, None, 3))
    row = lq.models.profile(
        tf_keras.Model(inputs, layers.Conv2D(4, 3, name="conv")(inputs))
    ).layer("conv")
    assert row.output_shape == (None, None, None, 4)
    assert row.macs is None
    assert "sizes that the model leaves open" in row.macs_reason


def test_many_inputs_take_their_sizes_from_a_list_or_by_name():
    image, text = (
        tf_keras.Input((None, None, 1), name="image"),
        tf_keras.Input((None, 3), name="text"),
    )
    outputs = [layers.Conv2D(2, 3)(image), layers.Conv1D(2, 1)(text)]
    model = tf_keras.Model({"image": image, "text": text}, outputs)
    expected = 18 * 4 * 5 + 6 * 9
    sizes = {"text": (None, 9, 3), "image": (None, 6, 7, 1)}
    assert lq.models.profile(model, input_shape=sizes).macs == expected
    in_order = [sizes["image"], sizes["text"]]
    assert lq.models.profile(model, input_shape=in_order).macs == expected


def test_nested_models_take_dictionaries():
    a, b = tf_keras.Input((2,), name="a"), tf_keras.Input((3,), name="b")
    inner = tf_keras.Model({"b": b, "a": a}, [layers.Dense(4)(a), layers.Dense(5)(b)])
    x, y = tf_keras.Input((2,)), tf_keras.Input((3,))
    model = tf_keras.Model([x, y], inner({"a": x, "b": y}))
    assert lq.models.profile(model).macs == 2 * 4 + 3 * 5


def test_a_model_run_for_each_time_step_counts_each_step():
    step = block((5, 4, 2))
    inputs = tf_keras.Input((3, 5, 4, 2))
    model = tf_keras.Model(inputs, layers.TimeDistributed(step)(inputs))
    costs = lq.models.profile(model)
    assert costs.layer("time_distributed/block/conv").macs == 3 * 36 * 20
    assert costs.params == 36


def test_layers_that_only_serve_a_loss_count_no_operations():
    inputs = tf_keras.Input((6,))
    hidden = layers.Dense(4)(inputs)
    model = tf_keras.Model(inputs, hidden)
    model.add_loss(tf.reduce_mean(layers.Dense(5, name="helper")(hidden)))
    costs = lq.models.profile(model)
    assert costs.macs == 24
    assert costs.layer("helper").params == 25
    assert costs.layer("helper").macs == 0
    assert "not needed for the model's outputs" in notes_of(costs.layer("helper"))


class Residual(layers.Layer):
    """A layer made of layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = lq.layers.QuantConv2D(
            2,
            3,
            padding="same",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
            name="conv",
        )
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, inputs):
        return inputs + self.norm(self.conv(inputs))


class Network(tf_keras.Model):
    """A subclassed model with a list of layers, a nested model and a shared layer."""

    def __init__(self, **kwargs):
        super().__init__(name="network", **kwargs)
        self.sign = lq.quantizers.SteSign(name="sign")
        self.blocks = [Residual(name="first"), Residual(name="second")]
        self.nested = block((None, None, 2), name="nested")
        self.unused = layers.Dense(7, name="unused")
        self.top = layers.Dense(3, name="top")

    def call(self, inputs):
        x = self.sign(inputs)
        for residual in self.blocks:
            x = residual(x)
        x = self.nested(self.nested(x))
        return self.top(tf.reduce_mean(x, axis=[1, 2]))


def built_network(build) -> tf_keras.Model:
    model = Network()
    if build == "called":
        model(tf.zeros((1, 6, 5, 2)))
    else:
        model.build((None, 6, 5, 2))
    return model


@pytest.mark.parametrize("build", ["called", "built"])
def test_a_subclassed_model_unfolds_with_the_sizes_it_was_called_with(build):
    costs = lq.models.profile(built_network(build))
    macs = {row.path: row.macs_by_bits for row in costs.layers if row.macs}
    assert macs == {
        "first/conv": {(1, 1): 36 * 30},
        "second/conv": {(1, 32): 36 * 30},
        "nested/conv": {(32, 32): 2 * 36 * 30},
        "top": {(32, 32): 6},
    }
    assert costs.layer("first/norm").output_shape == (None, 6, 5, 2)
    assert costs.layer("nested/conv").calls == 2
    assert costs.layer("unused").calls == 0
    assert costs.trained_params == 3 * 36 + 2 * 8 + 9
    assert costs.unknown_layers == ()
    assert costs.notes == ()


def test_a_subclassed_model_counts_at_a_given_size():
    costs = lq.models.profile(built_network("called"), input_shape=(None, 12, 10, 2))
    assert costs.layer("first/conv").macs == 36 * 120


def test_tracing_a_subclassed_model_leaves_it_as_it_was():
    model = built_network("called")
    x = tf.random.stateless_normal((2, 6, 5, 2), seed=(1, 2))
    before = model(x)
    calls = [vars(part).get("call") for part in model.submodules]
    lq.models.profile(model)
    assert (model(x).numpy() == before.numpy()).all()
    assert [vars(part).get("call") for part in model.submodules] == calls
    model.compile("sgd", "mse")
    model.fit(x, tf.ones((2, 3)), verbose=0)


def test_a_subclassed_model_inside_a_functional_one_unfolds():
    inputs = tf_keras.Input((6, 5, 2))
    model = tf_keras.Model(inputs, layers.Dense(2, name="last")(Network()(inputs)))
    costs = lq.models.profile(model)
    assert costs.layer("network/first/conv").macs_by_bits == {(1, 1): 36 * 30}
    assert costs.layer("last").macs == 6


def test_a_layer_made_of_layers_unfolds_in_a_sequential_model():
    costs = lq.models.profile(
        tf_keras.Sequential([tf_keras.Input((6, 5, 2)), Residual(name="block")])
    )
    assert [row.path for row in costs.layers] == ["block/conv", "block/norm"]
    assert costs.macs == 36 * 30


def test_a_wrapped_layer_counts_like_itself():
    class Doubled(layers.Wrapper):
        def call(self, inputs):
            return self.layer(2 * inputs)

    inputs = tf_keras.Input((4,))
    part = Doubled(layers.Dense(3, name="dense"), name="twice")
    costs = lq.models.profile(tf_keras.Model(inputs, part(inputs)))
    assert costs.layer("twice/dense").macs == 12


def test_a_subclassed_model_with_steps_and_dictionaries_unfolds():
    class Steps(tf_keras.Model):
        def __init__(self):
            super().__init__(name="steps")
            inner = tf_keras.Sequential([layers.Dense(2, name="dense")], name="inner")
            self.steps = layers.TimeDistributed(inner, name="each")
            self.norm = layers.BatchNormalization(name="norm")
            self.last = layers.Dense(4, name="last")

        def call(self, inputs, training=False):
            image = self.norm(inputs["image"], training=training)
            return {"out": self.last(image), "steps": self.steps(inputs["text"])}

    model = Steps()
    model({"image": tf.zeros((2, 5)), "text": tf.zeros((2, 6, 3))}, training=True)
    costs = lq.models.profile(model)
    assert costs.layer("each/inner/dense").macs == 6 * 3 * 2
    assert costs.layer("last").macs == 5 * 4
    # Keras runs the inner model once more for its mask: that is not the model's own.
    assert costs.notes == ()
    sizes = {"image": (None, 5), "text": (None, 9, 3)}
    longer = lq.models.profile(model, input_shape=sizes)
    assert longer.layer("each/inner/dense").macs == 9 * 3 * 2


def test_products_written_in_a_call_are_named_as_not_counted():
    class Product(tf_keras.Model):
        def __init__(self):
            super().__init__(name="product")
            self.dense = layers.Dense(4, name="dense")
            self.free = self.add_weight("free", shape=(4, 4))

        def call(self, inputs):
            return self.dense(inputs) @ self.free

    model = Product()
    model(tf.zeros((1, 3)))
    costs = lq.models.profile(model)
    assert costs.layer("dense").macs == 12
    assert costs.params == 16 + 16
    assert costs.unknown_layers == ("product",)
    assert costs.layer("product").output_shape == (None, 4)
    assert "mac_formula(Product)" in costs.layer("product").macs_reason
    assert any("MatMul" in note and "not in the counts" in note for note in costs.notes)


def test_a_model_that_cannot_be_traced_says_so_and_still_shows_its_weights():
    class Eager(tf_keras.Model):
        def __init__(self):
            super().__init__(name="eager")
            self.dense = layers.Dense(4, name="dense")
            self.relu = layers.ReLU(name="relu")

        def call(self, inputs):
            if inputs.numpy().sum() > 0:
                inputs = -inputs
            return self.relu(self.dense(inputs))

    model = Eager()
    model(tf.zeros((1, 3)))
    costs = lq.models.profile(model)
    assert costs.params == 16
    assert costs.layer("dense").macs is None
    assert (
        "calling eager on inputs of its size fails: "
        in costs.layer("dense").macs_reason
    )
    assert costs.layer("relu").macs == 0
    assert "call" not in vars(model.dense)


def test_a_model_with_a_call_of_its_own_is_counted_by_what_that_computes():
    class Doubled(tf_keras.Model):
        def call(self, inputs):
            return super().call(super().call(inputs))

    inputs = tf_keras.Input((4,))
    model = Doubled(inputs, layers.Dense(4, name="dense")(inputs))
    row = lq.models.profile(model).layer("dense")
    assert (row.calls, row.macs) == (2, 32)
