"""Every integer layer in an ONNX export: its integers against those of Keras."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.integer.export import compare, to_onnx
from larqlite.integer.export.onnx import CONVERTERS
from larqlite.integer.layers.internal import QUANTIZED

own = lq.integer.layers
PER_AXIS = {"output_quantizer": {"bitwidth": 8, "axis": "per-axis"}}
PER_TENSOR = {"output_quantizer": {"bitwidth": 8}}


def image(shape=(6, 5, 4), config=PER_AXIS, name="before"):
    """Integers of 8 bits with fractional bits for each channel, out of an input."""
    inputs = tf_keras.Input(shape)
    x = own.QuantizedDepthwiseConv2D(1, quant_config=config, name=name)(inputs)
    return inputs, x


def settled(inputs, outputs, seed=0):
    """A model with random weights, and random ranges of its output quantizers."""
    model = tf_keras.Model(inputs, outputs)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            if "range" in weight.name or "rescaling" in weight.name:
                continue
            values = rng.normal(0, 1, weight.shape)
            if "variance" in weight.name:
                values = np.abs(values) + 0.1
            if weight.dtype == tf.float32:
                weight.assign(values)
        quantizer = getattr(layer, "out_quantizer", None)
        if quantizer is not None:
            shape = quantizer.range_max.shape
            quantizer.calibrate(
                np.exp2(rng.uniform(4, 8, shape)), rng.uniform(0.8, 1.2, shape)
            )
    return model


def samples(model, count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-256, 256, (count, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


def require_equal(model, seed=0):
    proto = to_onnx(model)
    data = samples(model, seed=seed)
    result = compare(model, proto, data)
    assert result.is_exact, str(result)
    assert result.equal_share == 1
    return result


def same_pads(layer):
    return {"padding": "same", "quant_config": PER_TENSOR, **layer}


IMAGE_LAYERS = {
    "conv": lambda: own.QuantizedConv2D(3, 3, quant_config=PER_AXIS),
    "strided": lambda: own.QuantizedConv2D(
        3, (3, 2), strides=2, padding="same", quant_config=PER_TENSOR
    ),
    "dilated": lambda: own.QuantizedConv2D(3, 2, dilation_rate=2, use_bias=False),
    "grouped": lambda: own.QuantizedConv2D(6, 3, groups=2, quant_config=PER_AXIS),
    "padded": lambda: own.QuantizedConv2D(
        2, 3, padding="same", padding_value=[1.5, -2.0, 0.0, 30.0]
    ),
    "binary": lambda: own.QuantizedConv2D(
        3, 3, quant_config={"weight_quantizer": {"bitwidth": 1}, **PER_TENSOR}
    ),
    "fixed point": lambda: own.QuantizedConv2D(
        3, 3, quant_config={"weight_quantizer": {"bitwidth": 8, "fp_quantizer": True}}
    ),
    "small buffer": lambda: own.QuantizedConv2D(
        3,
        3,
        quant_config={"buffer_bitwidth": 12, "weight_quantizer": {"bitwidth": 8}},
    ),
    "depthwise": lambda: own.QuantizedDepthwiseConv2D(
        3, padding="same", depth_multiplier=2, quant_config=PER_AXIS
    ),
    "separable": lambda: own.QuantizedSeparableConv2D(
        5, 3, strides=2, padding="same", depth_multiplier=2, quant_config=PER_TENSOR
    ),
    "transposed": lambda: own.QuantizedConv2DTranspose(3, 3, strides=2),
    "transposed same": lambda: own.QuantizedConv2DTranspose(
        3, 3, strides=2, padding="same", quant_config=PER_TENSOR
    ),
    "transposed dilated": lambda: own.QuantizedConv2DTranspose(3, 2, dilation_rate=2),
    "depthwise transposed": lambda: own.QuantizedDepthwiseConv2DTranspose(
        3, strides=2, padding="same", quant_config=PER_AXIS
    ),
    "dense": lambda: own.QuantizedDense(7, quant_config=PER_AXIS),
    "relu": lambda: own.QuantizedReLU(max_value=None),
    "relu6": lambda: own.QuantizedReLU(6),
    "hard swish": lambda: own.QuantizedActivationFunction(
        "hard_swish", quant_config=PER_AXIS
    ),
    "sigmoid": lambda: own.QuantizedActivationFunction("sigmoid"),
    "elu": lambda: own.QuantizedELU(0.7, quant_config=PER_TENSOR),
    "leaky relu": lambda: own.QuantizedLeakyReLU(),
    "max pool": lambda: own.QuantizedMaxPool2D(2, padding="same"),
    "average pool": lambda: own.QuantizedAveragePooling2D(
        3, 2, padding="same", quant_config=PER_AXIS
    ),
    "average": lambda: own.QuantizedGlobalAveragePooling2D(
        quant_config=PER_TENSOR, keepdims=True
    ),
    "upsampling": lambda: own.QuantizedUpSampling2D((2, 3)),
    "flatten": lambda: own.QuantizedFlatten(),
    "reshape": lambda: own.QuantizedReshape((15, 8)),
    "permute": lambda: own.QuantizedPermute((2, 1, 3)),
    "zero padding": lambda: own.QuantizedZeroPadding2D(((1, 0), (2, 3))),
    "dropout": lambda: own.QuantizedDropout(0.5),
    "batch norm": lambda: own.QuantizedBatchNormalization(quant_config=PER_AXIS),
    "layer norm": lambda: own.QuantizedLayerNormalization(quant_config=PER_TENSOR),
    "shiftmax": lambda: own.QuantizedShiftmax(),
    "softmax": lambda: own.QuantizedSoftmax(),
    "softmax of rows": lambda: own.QuantizedSoftmax(axis=[1, 2]),
    "sign": lambda: own.QuantizedSign(),
    "ternary": lambda: own.QuantizedTernary(2.0),
    "extract": lambda: own.QuantizedExtractToken(2, axis=1),
}


# One of each family; the others run in `make test-all`.
FAST = (
    "strided",
    "grouped",
    "padded",
    "small buffer",
    "depthwise",
    "separable",
    "transposed same",
    "depthwise transposed",
    "average pool",
    "hard swish",
    "layer norm",
    "softmax",
    "ternary",
    "zero padding",
)


def require_equal_side_by_side(heads):
    """Makes one model of functions of integers, `name -> function`, all on one image.

    The comparison is layer by layer, so that it names the layer that differs.
    """
    inputs, x = image()
    ends = [own.Dequantizer(name=f"{n}_end")(head(x)) for n, head in heads.items()]
    result = require_equal(settled(inputs, ends))
    # What each head's last layer gives out is compared, and `before` and more.
    assert len(result.layers) > len(heads)


def test_layers_of_per_axis_integers_give_the_same_bits():
    require_equal_side_by_side(
        {name.replace(" ", "_"): IMAGE_LAYERS[name]() for name in FAST}
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_a_layer_of_per_axis_integers_gives_the_same_bits(name):
    require_equal_side_by_side({"one": IMAGE_LAYERS[name]()})


ACCUMULATOR_LAYERS = {
    "relu": lambda: own.QuantizedReLU(6, quant_config=PER_AXIS),
    "max_pool": lambda: own.QuantizedMaxPool2D(2),
    "ternary": lambda: own.QuantizedTernary(2.0),
    "batch_norm": lambda: own.QuantizedBatchNormalization(),
    "average": lambda: own.QuantizedGlobalAveragePooling2D(),
    "flatten": lambda: own.QuantizedFlatten(),
}


def test_layers_of_an_accumulator_give_the_same_bits():
    def behind_a_convolution(make):
        return lambda x: make()(own.QuantizedConv2D(3, 3)(x))

    require_equal_side_by_side(
        {name: behind_a_convolution(make) for name, make in ACCUMULATOR_LAYERS.items()}
    )


SEVERAL_INPUTS = {
    "add": lambda: own.QuantizedAdd(quant_config=PER_AXIS),
    "average": lambda: own.QuantizedAdd(average=True),
    "multiply": lambda: own.QuantizedMultiply(),
    "concatenate": lambda: own.QuantizedConcatenate(quant_config=None),
}


def test_layers_of_several_inputs_give_the_same_bits():
    def of_three(make):
        return lambda x: make()(
            [
                x,
                own.QuantizedConv2D(4, 1, quant_config=PER_TENSOR)(x),
                own.QuantizedDepthwiseConv2D(3, padding="same", quant_config=PER_AXIS)(
                    x
                ),
            ]
        )

    require_equal_side_by_side(
        {name: of_three(make) for name, make in SEVERAL_INPUTS.items()}
    )


def test_tokens_and_attention_give_the_same_bits():
    inputs = tf_keras.Input((5, 8))
    x = own.QuantizedDense(8, quant_config=PER_TENSOR)(inputs)
    x = own.QuantizedClassToken()(x)
    x = own.QuantizedAddPositionEmbs(quant_config=PER_TENSOR)(x)
    query, key, value = (
        own.QuantizedDense(8, quant_config=PER_TENSOR)(x) for _ in range(3)
    )
    y, mask = own.QuantizedAttention(2, quant_config=PER_TENSOR)([query, key, value])
    y = own.QuantizedExtractToken(0)(y)
    model = settled(inputs, own.Dequantizer()([y, mask]))
    assert len(require_equal(model).layers) == 9


def test_one_dimension_and_causal_padding_give_the_same_bits():
    inputs = tf_keras.Input((9, 4))
    x = own.QuantizedConv1D(6, 3, padding="causal", quant_config=PER_AXIS)(inputs)
    x = own.QuantizedConv1D(3, 3, strides=2, padding="same")(x)
    require_equal(settled(inputs, own.Dequantizer()(x)))


def test_sums_above_24_bits_are_split_and_stay_exact():
    inputs = tf_keras.Input((3, 3, 4096))
    config = {
        "weight_quantizer": {"bitwidth": 8},
        "buffer_bitwidth": 28,
    }
    x = own.QuantizedConv2D(2, 3, quant_config=config)(inputs)
    model = tf_keras.Model(inputs, own.Dequantizer()(x))
    model.layers[1].kernel.assign(tf.ones_like(model.layers[1].kernel))
    proto = to_onnx(model)
    assert sum(node.op_type == "IntConv" for node in proto.graph.node) > 1
    data = np.full((1, 3, 3, 4096), 28.0, np.float32)
    data[0, 0, 0, 0] = 27
    result = compare(model, proto, data)
    assert result.is_exact
    found = int(model.layers[1](data).fp.values.numpy()[0, 0, 0, 0])
    assert found == 127 * (28 * 9 * 4096 - 1)


def test_every_integer_layer_has_a_converter():
    assert set(QUANTIZED.values()) <= set(CONVERTERS)
