"""TensorFlow functions used as layers: every one that is exported, against Keras."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.deploy import converters  # noqa: F401  (fills the table)
from larqlite.deploy._converter_tables import OPERATORS
from larqlite.errors import UnsupportedLayerError
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import assert_same, export

MATRIX = np.linspace(-1, 1, 18).reshape(6, 3).astype(np.float32)
SIX = np.arange(6).astype(np.float32)

# x and y are images (4, 4, 6), v is a vector (6,).
EXPRESSIONS = {
    "x + y": lambda x, y, v: x + y,
    "x - y": lambda x, y, v: x - y,
    "x * y": lambda x, y, v: x * y,
    "x / y": lambda x, y, v: x / (abs(y) + 0.1),
    "-x": lambda x, y, v: -x,
    "x * 2": lambda x, y, v: x * 2,
    "1 - x": lambda x, y, v: 1 - x,
    "2 / x": lambda x, y, v: 2 / (1 + abs(x)),
    "x ** 2": lambda x, y, v: x**2,
    "x ** 1.5": lambda x, y, v: abs(x) ** 1.5,
    "x // 2": lambda x, y, v: x // 2.0,
    "array * x": lambda x, y, v: SIX * x,
    "x + rows": lambda x, y, v: x + tf.constant(MATRIX[:4, :1, np.newaxis]),
    "x @ matrix": lambda x, y, v: x @ MATRIX,
    "v[:, None, None] * x": lambda x, y, v: v[:, None, None] * x,
    "x[:, :, :, :4]": lambda x, y, v: x[:, :, :, :4],
    "x[..., 1:]": lambda x, y, v: x[..., 1:],
    "x[:, 0]": lambda x, y, v: x[:, 0],
    "x[:, -1, ..., 2]": lambda x, y, v: x[:, -1, ..., 2],
    "x[..., None]": lambda x, y, v: x[..., None],
    "x[:, ::2, ::-1]": lambda x, y, v: x[:, ::2, ::-1],
    "x[:, 1:3, 0, None, -2:]": lambda x, y, v: x[:, 1:3, 0, None, -2:],
    "abs": lambda x, y, v: tf.abs(x),
    "sqrt": lambda x, y, v: tf.sqrt(abs(x)),
    "rsqrt": lambda x, y, v: tf.math.rsqrt(abs(x) + 0.1),
    "square": lambda x, y, v: tf.square(x),
    "log": lambda x, y, v: tf.math.log(abs(x) + 0.1),
    "exp": lambda x, y, v: tf.exp(x),
    "erf": lambda x, y, v: tf.math.erf(x),
    "reciprocal": lambda x, y, v: tf.math.reciprocal(abs(x) + 0.1),
    "floor": lambda x, y, v: tf.floor(x),
    "ceil": lambda x, y, v: tf.math.ceil(x),
    "round": lambda x, y, v: tf.round(x * 2) / 2 + tf.round(v[:, None, None] * 0 + 2.5),
    "sign": lambda x, y, v: tf.sign(x),
    "maximum": lambda x, y, v: tf.maximum(x, y),
    "minimum": lambda x, y, v: tf.minimum(x, 0.5),
    "add": lambda x, y, v: tf.add(x, y),
    "add_n": lambda x, y, v: tf.add_n([x, y, x]),
    "scalar_mul": lambda x, y, v: tf.math.scalar_mul(2.0, x),
    "squared_difference": lambda x, y, v: tf.math.squared_difference(x, y),
    "clip_by_value": lambda x, y, v: tf.clip_by_value(x, -1, tf.constant(1.5)),
    "clip_by_value between images": lambda x, y, v: tf.clip_by_value(x, y - 1, y + 1),
    "where": lambda x, y, v: tf.where(x > 0, x, y),
    "where with numbers": lambda x, y, v: tf.where(x >= 0, 1.0, y),
    "less": lambda x, y, v: tf.cast(x < 0.5, tf.float32),
    "less_equal, moved": lambda x, y, v: tf.cast((x <= 0)[:, 1:], tf.float32),
    "relu": lambda x, y, v: tf.nn.relu(x),
    "relu6": lambda x, y, v: tf.nn.relu6(3 * x),
    "leaky_relu": lambda x, y, v: tf.nn.leaky_relu(x),
    "leaky_relu, 0.1": lambda x, y, v: tf.nn.leaky_relu(x, 0.1),
    "elu": lambda x, y, v: tf.nn.elu(x),
    "selu": lambda x, y, v: tf.nn.selu(x),
    "gelu": lambda x, y, v: tf.nn.gelu(x),
    "gelu, approximate": lambda x, y, v: tf.nn.gelu(x, approximate=True),
    "silu": lambda x, y, v: tf.nn.silu(x),
    "silu, 2": lambda x, y, v: tf.nn.silu(x, 2.0),
    "softmax": lambda x, y, v: tf.nn.softmax(x),
    "softmax of rows": lambda x, y, v: tf.nn.softmax(x, axis=1),
    "log_softmax": lambda x, y, v: tf.nn.log_softmax(x),
    "softplus": lambda x, y, v: tf.nn.softplus(x),
    "softsign": lambda x, y, v: tf.nn.softsign(x),
    "sigmoid": lambda x, y, v: tf.sigmoid(x),
    "tanh": lambda x, y, v: tf.tanh(x),
    "reduce_mean": lambda x, y, v: tf.reduce_mean(x, axis=[1, 2]),
    "reduce_mean, keepdims": lambda x, y, v: tf.reduce_mean(x, [1, 2], keepdims=True),
    "reduce_mean of all": lambda x, y, v: tf.reduce_mean(x, [1, 2, 3]),
    "reduce_sum": lambda x, y, v: tf.reduce_sum(x, -1),
    "reduce_max": lambda x, y, v: tf.reduce_max(x, -1),
    "reduce_min": lambda x, y, v: tf.reduce_min(x, 1),
    "reduce_prod": lambda x, y, v: tf.reduce_prod(x, -1),
    "reduce_variance": lambda x, y, v: tf.math.reduce_variance(x, [1, 2]),
    "reduce_std": lambda x, y, v: tf.math.reduce_std(x, [1, 2], keepdims=True),
    "l2_normalize": lambda x, y, v: tf.nn.l2_normalize(x, -1),
    "matmul": lambda x, y, v: tf.matmul(v, MATRIX),
    "matmul, transpose_a": lambda x, y, v: tf.matmul(x, y, transpose_a=True),
    "matmul, transpose_b": lambda x, y, v: tf.matmul(x, y, transpose_b=True),
    "matmul with a transposed matrix": lambda x, y, v: tf.matmul(
        x, MATRIX.T.copy(), transpose_b=True
    ),
    "identity": lambda x, y, v: tf.identity(x) + 1,
    "stop_gradient": lambda x, y, v: tf.stop_gradient(x) * 2,
    "ensure_shape": lambda x, y, v: tf.ensure_shape(x, (None, 4, 4, 6)) * 2,
    "convert_to_tensor": lambda x, y, v: tf.convert_to_tensor(x) * 2,
    "cast": lambda x, y, v: tf.cast(x, tf.float32) * 2,
    "concat": lambda x, y, v: tf.concat([x, y], axis=-1),
    "concat of rows": lambda x, y, v: tf.concat([x, y], 1),
    "stack": lambda x, y, v: tf.stack([x, y], axis=1),
    "stack, last": lambda x, y, v: tf.stack([x, y], axis=-1),
    "unstack": lambda x, y, v: tf.unstack(x, axis=1),
    "unstack, last": lambda x, y, v: tf.unstack(x, axis=-1),
    "split": lambda x, y, v: tf.split(x, 2, axis=-1),
    "split in sizes": lambda x, y, v: tf.split(x, [1, -1, 3], -1),
    "reshape": lambda x, y, v: tf.reshape(x, [-1, 4, 24]),
    "reshape to features": lambda x, y, v: tf.reshape(x, (-1, 96)),
    "transpose": lambda x, y, v: tf.transpose(x, [0, 3, 1, 2]),
    "transpose of space": lambda x, y, v: tf.transpose(x, [0, 2, 1, 3]),
    "squeeze": lambda x, y, v: tf.squeeze(tf.reshape(v, (-1, 1, 1, 6)), [1, 2]),
    "squeeze one": lambda x, y, v: tf.squeeze(tf.reshape(v, (-1, 1, 1, 6)), 1),
    "expand_dims": lambda x, y, v: tf.expand_dims(tf.expand_dims(v, 1), 1) * x,
    "expand_dims, last": lambda x, y, v: tf.expand_dims(v, -1),
    "expand_dims after the channels": lambda x, y, v: tf.expand_dims(x, -1),
    "expand_dims between": lambda x, y, v: tf.expand_dims(x, 2),
    "pad": lambda x, y, v: tf.pad(x, [[0, 0], [1, 1], [1, 2], [0, 0]]),
    "pad with ones": lambda x, y, v: tf.pad(
        x, [[0, 0], [1, 1], [0, 0], [0, 2]], constant_values=1.0
    ),
    "pad, mirrored": lambda x, y, v: tf.pad(
        x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"
    ),
    "tile": lambda x, y, v: tf.tile(x, [1, 2, 1, 3]),
    "repeat": lambda x, y, v: tf.repeat(x, 3, axis=-1),
    "gather": lambda x, y, v: tf.gather(x, [0, 2], axis=-1),
    "gather one": lambda x, y, v: tf.gather(x, 2, axis=-1),
    "reverse": lambda x, y, v: tf.reverse(x, [-1, 1]),
    "slice": lambda x, y, v: tf.slice(x, [0, 1, 0, 1], [-1, -1, 2, 2]),
    "bias_add": lambda x, y, v: tf.nn.bias_add(x, SIX),
    "max_pool": lambda x, y, v: tf.nn.max_pool(x, 2, 2, "SAME"),
    "max_pool1d": lambda x, y, v: tf.nn.max_pool1d(x[:, 0], 2, 2, "SAME"),
    "max_pool2d": lambda x, y, v: tf.nn.max_pool2d(
        x, (1, 2, 3, 1), (1, 2, 1, 1), "VALID"
    ),
    "max_pool3d": lambda x, y, v: tf.nn.max_pool3d(x[..., None], 2, 1, "SAME"),
    "avg_pool1d": lambda x, y, v: tf.nn.avg_pool1d(x[:, 0], 2, 2, "VALID"),
    "avg_pool2d": lambda x, y, v: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "avg_pool3d": lambda x, y, v: tf.nn.avg_pool3d(x[..., None], 2, 1, "SAME"),
    "space_to_depth": lambda x, y, v: tf.nn.space_to_depth(x, 2),
    "depth_to_space": lambda x, y, v: tf.nn.depth_to_space(x[..., :4], 2),
    "resize": lambda x, y, v: tf.image.resize(x, (8, 8)),
    "resize, nearest": lambda x, y, v: tf.image.resize(x, (8, 12), "nearest"),
    "resize, nearest, uneven": lambda x, y, v: tf.image.resize(x, (7, 3), "nearest"),
    "resize, uneven": lambda x, y, v: tf.image.resize(x, (7, 3)),
    "resize, antialias": lambda x, y, v: tf.image.resize(
        x, (2, 3), "lanczos5", antialias=True
    ),
    "resize, to the same size": lambda x, y, v: tf.image.resize(
        x, (4, 4), "mitchellcubic"
    ),
}


SYMBOLS: dict[str, set] = {}  # of the functions that an expression is made of


@pytest.mark.parametrize(
    ("name", "order"), in_turn(EXPRESSIONS, ["as in Keras", "channels first"])
)
def test_an_expression_is_the_same_however_its_tensors_are_stored(name, order):
    model = _model(EXPRESSIONS[name], order)
    SYMBOLS[name] = _symbols(model)
    assert_same(model)


def _model(expression, order="as in Keras") -> tf_keras.Model:
    x, y = tf_keras.Input((4, 4, 6)), tf_keras.Input((4, 4, 6))
    v = tf_keras.Input((6,))
    first = x
    if order == "channels first":
        first = tf_keras.layers.MaxPooling2D(1)(x)
    return tf_keras.Model([x, y, v], expression(first, y, v))


def _symbols(model) -> set:
    return {getattr(layer, "symbol", None) for layer in model.layers}


def test_every_function_in_the_table_has_been_tested():
    """But the second names of some, which TensorFlow itself no longer gives."""
    met = set()
    for name, expression in EXPRESSIONS.items():
        met |= SYMBOLS.get(name) or _symbols(_model(expression))
    second_names = {
        "shape", "compat.v1.shape", "math.divide", "math.floordiv", "math.scalar_mul",
        "nn.swish", "squeeze", "transpose", "pad", "gather",
    }  # fmt: skip
    assert set(OPERATORS) - met == second_names


REFUSED = {
    "sin": (lambda x, y, v: tf.sin(x), "no converter for the TensorFlow function"),
    "shape": (
        lambda x, y, v: tf.reshape(x, (tf.shape(x)[0], -1)),
        "sizes that are computed in the network",
    ),
    "reduce_mean": (lambda x, y, v: tf.reduce_mean(x), r"axis=\[1, 2, 3\]"),
    "dropout": (lambda x, y, v: tf.nn.dropout(x, 0.5), "no converter"),
    "getitem": (lambda x, y, v: x[0], "changes the batch"),
    "getitem of a part": (lambda x, y, v: x[:1], "changes the batch"),
    "add": (lambda x, y, v: x + v, "same number of axes"),
    "add of a batch": (
        lambda x, y, v: x + np.ones((2, 4, 4, 6), np.float32),
        "leave out the first axis",
    ),
    "concat": (lambda x, y, v: tf.concat([x, y], 0), "joins batches"),
    "transpose": (lambda x, y, v: tf.transpose(v), "changes the batch"),
    "matmul": (lambda x, y, v: tf.matmul(v, v, transpose_a=True), "not the product"),
    "cast": (lambda x, y, v: tf.cast(x, tf.int32), "casts to int32"),
    "einsum": (lambda x, y, v: tf.einsum("bhwc,co->bhwo", x, MATRIX), "no converter"),
    "reshape": (lambda x, y, v: tf.reshape(x, (-1, 6)), "does not keep the batch"),
    "squeeze": (
        lambda x, y, v: tf.squeeze(tf.reshape(v, (-1, 1, 6))),
        r"axis=\[1\]",
    ),
    "stack": (lambda x, y, v: tf.stack([x, y]), "changes the batch"),
    "where": (lambda x, y, v: tf.where(x > 0), "open size"),
    "pad": (
        lambda x, y, v: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC"),
        "SYMMETRIC",
    ),
    "repeat": (
        lambda x, y, v: tf.repeat(x, [1, 2, 1, 1], axis=1),
        "each position differently",
    ),
    "resize": (
        lambda x, y, v: tf.image.resize(x, (8, 8), preserve_aspect_ratio=True),
        "aspect ratio",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_with_the_way_out(name):
    expression, why = REFUSED[name]
    with pytest.raises(UnsupportedLayerError, match=why) as error:
        export(_model(expression))
    assert "\n  Fix: " in str(error.value)


def test_operators_of_a_loaded_model(tmp_path):
    """Whose arguments come out of JSON."""
    for name in ("x[:, 1:3, 0, None, -2:]", "split in sizes", "pad", "2 / x", "matmul"):
        model = _model(EXPRESSIONS[name])
        model.save(tmp_path / "model.keras")
        loaded = tf_keras.models.load_model(tmp_path / "model.keras")
        assert_same(loaded)
