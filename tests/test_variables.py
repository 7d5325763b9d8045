"""The quantized view of a variable: reads, writes, gradients, and TensorFlow's own names."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.variables import QuantizedVariable

LATENT = [[0.5, -0.25], [-2.0, 0.0]]
SIGNS = [[1.0, -1.0], [-1.0, 1.0]]


def view(dtype="float32", quantizer=lq.math.sign, **kwargs):
    variable = tf.Variable(LATENT, dtype=dtype, name="latent", **kwargs)
    return QuantizedVariable.from_variable(variable, quantizer)


READS = {
    "value": lambda v: v.value(),
    "read_value": lambda v: v.read_value(),
    "numpy": lambda v: v.numpy(),
    "array": np.asarray,
    "identity": tf.identity,
    "convert": tf.convert_to_tensor,
    "add": lambda v: v + 0,
    "radd": lambda v: 0 + v,
    "sub": lambda v: v - 0,
    "mul": lambda v: v * 1,
    "div": lambda v: v / 1,
    "matmul": lambda v: v @ tf.eye(2),
    "neg": lambda v: 0 - (-v),
    "pow": lambda v: v**1,
    "slice": lambda v: v[:],
    "gather": lambda v: tf.gather(v, [0, 1]),
    "sparse_read": lambda v: v.sparse_read([0, 1]),
    "gather_nd": lambda v: v.gather_nd([[0], [1]]),
    "stack": lambda v: tf.stack([v])[0],
    "initial_value": lambda v: v.initial_value,
    "function": lambda v: tf.function(lambda: v + 0)(),
    "argument": lambda v: tf.function(lambda w: w + 0)(v),
}


@pytest.mark.parametrize("read", READS)
def test_every_read_is_latent_outside_and_quantized_inside(read):
    if read == "initial_value":
        with tf.Graph().as_default():
            v = view()
            outside = v.initial_value
            with lq.context.quantized_scope(True):
                inside = v.initial_value
            with tf.compat.v1.Session() as session:
                outside, inside = session.run([outside, inside])
    else:
        v = view()
        outside = READS[read](v)
        with lq.context.quantized_scope(True):
            inside = READS[read](view())
    np.testing.assert_array_equal(outside, LATENT)
    np.testing.assert_array_equal(inside, SIGNS)


WRITES = {
    "assign": (lambda v: v.assign(v.latent_variable + 1), 1),
    "assign_add": (lambda v: v.assign_add(tf.ones((2, 2))), 1),
    "assign_sub": (lambda v: v.assign_sub(tf.ones((2, 2))), -1),
    "scatter_add": (
        lambda v: v.scatter_add(tf.IndexedSlices(tf.ones((2, 2)), [0, 1])),
        1,
    ),
    "scatter_nd_sub": (lambda v: v.scatter_nd_sub([[0], [1]], tf.ones((2, 2))), -1),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_every_write_acts_on_the_latent_values_and_can_be_chained(
    write, traced, inside
):
    v = view()
    do, change = WRITES[write]
    with lq.context.quantized_scope(inside):
        (tf.function(lambda: do(v) + 0) if traced else lambda: do(v))()
    np.testing.assert_array_equal(v, np.array(LATENT) + change)
    assert isinstance(v.assign(LATENT), QuantizedVariable)
    assert v.assign(LATENT).assign_add(tf.ones((2, 2))).precision == v.precision


def test_gradients_arrive_through_the_pseudo_gradient():
    v = view(quantizer=lq.quantizers.SteSign(clip_value=1.0))
    with tf.GradientTape() as tape:
        with lq.context.quantized_scope(True):
            loss = tf.reduce_sum(v * [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(tape.gradient(loss, v), [[1, 2], [0, 4]])


def test_as_an_argument_it_is_traced_once():
    v = view()

    @tf.function
    def double(w):
        return 2 * w

    for _ in range(4):
        double(v)
    assert double.experimental_get_tracing_count() == 1
    double(view())
    assert double.experimental_get_tracing_count() == 2


def test_a_deep_copy_is_quantized_and_independent():
    v = view(quantizer=lq.quantizers.SteSign())
    twin = copy.deepcopy(v)
    v.assign_add(tf.ones((2, 2)))
    np.testing.assert_array_equal(twin, LATENT)
    assert isinstance(twin.quantizer, lq.quantizers.SteSign)


def test_a_tiny_negative_latent_weight_stays_negative_in_float16():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = lq.layers.QuantDense(
            1, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        )
        layer.build((None, 1))
        layer.kernel.assign([[-1e-9]])
        output = layer(np.ones((1, 1), "float16"))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert output.dtype == "float16"
    assert output.numpy().tolist() == [[-1.0]]
    assert layer.kernel.precision == 1
    assert isinstance(layer.kernel.quantizer, lq.quantizers.SteSign)


def test_it_tells_what_it_is():
    text = repr(view(quantizer=lq.quantizers.SteSign()))
    assert text.startswith(
        "<QuantizedVariable 'latent:0' shape=(2, 2) dtype=float32 "
        "quantizer=SteSign precision=1 numpy="
    )
    assert "quantizer" not in repr(QuantizedVariable.from_variable(tf.Variable(1.0)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("text",), "`variable` must be of type"),
        ((tf.constant, "ste_sign"), r"`quantizer`.*\n.*quantizers.get"),
        ((tf.constant, None, 1.5), "`precision` must be an int"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    first, *rest = arguments
    variable = tf.Variable(1.0) if callable(first) else first
    with pytest.raises(lq.errors.ArgumentError, match=message):
        QuantizedVariable.from_variable(variable, *rest)


@pytest.mark.parametrize(
    "name",
    [
        "_gather_saveables_for_checkpoint",
        "_export_to_saved_model_graph",
        "_copy_trackable_to_cpu",
        "_shared_name",
        "handle",
    ],
)
def test_tensorflow_still_has_the_names_this_file_relies_on(name):
    assert hasattr(tf.Variable(1.0), name)


def test_tensorflow_still_asks_what_acts_as_a_resource_variable():
    assert tf.__internal__.ops.is_resource_variable(view())
    assert isinstance(view(), tf.__internal__.types.Tensor)
    with pytest.raises(lq.errors.LatentWeightError, match="reference"):
        view()._dense_var_to_tensor(as_ref=True)


def test_programs_for_larq_tell_quantized_variables_apart():
    layer = lq.layers.QuantDense(
        2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    layer.build((None, 3))
    found = ["quantizer" in variable.__dict__ for variable in layer.weights]
    assert found == [True, False]
    layer.kernel.read_through(None)
    assert "quantizer" not in layer.kernel.__dict__
    assert layer.kernel.quantizer is None
