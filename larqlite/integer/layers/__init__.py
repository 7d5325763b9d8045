"""Layers that compute in integers, their quantizers, and what records them."""

from larqlite.integer.layers._add import Add
from larqlite.integer.layers._attention import Attention, string_to_softmax
from larqlite.integer.layers._depthwise_transpose import DepthwiseConv2DTranspose
from larqlite.integer.layers._dequantizer import Dequantizer
from larqlite.integer.layers._mad_normalization import LayerMadNormalization
from larqlite.integer.layers._observer import OutputObserver
from larqlite.integer.layers._output_quantizer import OutputQuantizer
from larqlite.integer.layers._padded_conv import PaddedConv2D
from larqlite.integer.layers._quantized_activation import (
    QuantizedActivationFunction,
    QuantizedELU,
    QuantizedLeakyReLU,
)
from larqlite.integer.layers._quantized_attention import QuantizedAttention
from larqlite.integer.layers._quantized_conv import (
    QuantizedConv1D,
    QuantizedConv2D,
    QuantizedConv2DTranspose,
)
from larqlite.integer.layers._quantized_dense import QuantizedDense
from larqlite.integer.layers._quantized_depthwise import (
    QuantizedDepthwiseConv2D,
    QuantizedDepthwiseConv2DTranspose,
)
from larqlite.integer.layers._quantized_merge import (
    QuantizedAdd,
    QuantizedConcatenate,
    QuantizedMultiply,
)
from larqlite.integer.layers._quantized_normalization import (
    QuantizedBatchNormalization,
    QuantizedLayerNormalization,
)
from larqlite.integer.layers._quantized_pooling import (
    QuantizedAveragePooling2D,
    QuantizedGlobalAveragePooling2D,
    QuantizedMaxPool2D,
)
from larqlite.integer.layers._quantized_relu import QuantizedReLU
from larqlite.integer.layers._quantized_rescaling import QuantizedRescaling
from larqlite.integer.layers._quantized_separable import QuantizedSeparableConv2D
from larqlite.integer.layers._quantized_shape import (
    QuantizedDropout,
    QuantizedFlatten,
    QuantizedPermute,
    QuantizedReshape,
    QuantizedZeroPadding2D,
)
from larqlite.integer.layers._quantized_sign import (
    QuantizedApproxSign,
    QuantizedSign,
    QuantizedSwishSign,
    QuantizedTernary,
)
from larqlite.integer.layers._quantized_softmax import (
    QuantizedShiftmax,
    QuantizedSoftmax,
)
from larqlite.integer.layers._quantized_tokens import (
    QuantizedAddPositionEmbs,
    QuantizedClassToken,
    QuantizedExtractToken,
)
from larqlite.integer.layers._quantized_upsampling import QuantizedUpSampling2D
from larqlite.integer.layers._quantizer import IntegerQuantizer, Quantizer
from larqlite.integer.layers._recording import (
    FixedPointRecorder,
    NonTrackFixedPointVariable,
    NonTrackVariable,
    QFloatRecorder,
    TensorRecorder,
    recording,
)
from larqlite.integer.layers._shiftmax import Shiftmax, shiftmax
from larqlite.integer.layers._tokens import AddPositionEmbs, ClassToken, ExtractToken
from larqlite.integer.layers._weight_quantizer import (
    AlignedWeightQuantizer,
    WeightQuantizer,
)

__all__ = [
    "Add",
    "AddPositionEmbs",
    "AlignedWeightQuantizer",
    "Attention",
    "ClassToken",
    "DepthwiseConv2DTranspose",
    "Dequantizer",
    "ExtractToken",
    "FixedPointRecorder",
    "IntegerQuantizer",
    "LayerMadNormalization",
    "NonTrackFixedPointVariable",
    "NonTrackVariable",
    "OutputObserver",
    "OutputQuantizer",
    "PaddedConv2D",
    "QFloatRecorder",
    "QuantizedActivationFunction",
    "QuantizedAdd",
    "QuantizedAddPositionEmbs",
    "QuantizedApproxSign",
    "QuantizedAttention",
    "QuantizedAveragePooling2D",
    "QuantizedBatchNormalization",
    "QuantizedClassToken",
    "QuantizedConcatenate",
    "QuantizedConv1D",
    "QuantizedConv2D",
    "QuantizedConv2DTranspose",
    "QuantizedDense",
    "QuantizedDepthwiseConv2D",
    "QuantizedDepthwiseConv2DTranspose",
    "QuantizedDropout",
    "QuantizedELU",
    "QuantizedExtractToken",
    "QuantizedFlatten",
    "QuantizedGlobalAveragePooling2D",
    "QuantizedLayerNormalization",
    "QuantizedLeakyReLU",
    "QuantizedMaxPool2D",
    "QuantizedMultiply",
    "QuantizedPermute",
    "QuantizedReLU",
    "QuantizedRescaling",
    "QuantizedReshape",
    "QuantizedSeparableConv2D",
    "QuantizedShiftmax",
    "QuantizedSign",
    "QuantizedSoftmax",
    "QuantizedSwishSign",
    "QuantizedTernary",
    "QuantizedUpSampling2D",
    "QuantizedZeroPadding2D",
    "Quantizer",
    "Shiftmax",
    "TensorRecorder",
    "WeightQuantizer",
    "recording",
    "shiftmax",
    "string_to_softmax",
]
