"""The public functions, which import ONNX and the converters when they are called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import tf_keras

if TYPE_CHECKING:
    import onnx

    from larqlite.integer.export._comparison import Comparison


def to_onnx(
    model: tf_keras.Model,
    path: str | os.PathLike | None = None,
    input_dtype: str | None = None,
) -> onnx.ModelProto:
    r"""An ONNX model of integer operations that gives the very integers of a model.

    Activations are int8 or uint8 tensors, accumulators int32 (int64 where more is
    needed). Layers are functions of standard operations in the domain `ai.larqlite`,
    which the file holds, so a stock ONNX Runtime runs it:

    - Convolutions and dense layers run as `Conv` and `MatMul` in float32, whose sums of
      integers are exact because \(\sum |w| \max|x| + |b| \leq 2^{24}\) is proven from the
      weights; where it is not, the kernel is split into pieces for which it is (or the
      `MatMul` runs in float64). ONNX Runtime has `ConvInteger` for 8 bits only, and on
      some processors its sums saturate at 16 bits.
    - A requantization is \((v q + 2^{s-1}) \gg s\) in int64, with the quantized scale
      \(q\): `Mul`, `Add`, `BitShift`, and a clip.
    - Float layers behind a `Dequantizer` are written as `larqlite.deploy.export` does.

    Args:
        model: a calibrated integer model of `larqlite.integer.models.quantize`.
        path: where to write the file too, `*.onnx`.
        input_dtype: "uint8", "int8", "int32" or "float32" (which is cut to integers, as in
            Keras); that of the model by default.

    Returns:
        The model. Its metadata `larqlite.integer.layers` says which tensor which layer
        gives out.

    Raises:
        UnsupportedModelError: (a `ValueError`) a float model, or one that is not
            calibrated, or whose sizes are open.
        UnsupportedLayerError: (a `RuntimeError`) a layer that cannot be written exactly.
        ArgumentError: (a `ValueError`) another suffix, or an `input_dtype` that does not
            exist. Any that does gives the same integers for the numbers that it holds.
        MissingFileError: the folder does not exist.

    Example:
        >>> float_model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> model = lq.integer.models.quantize(float_model)
        >>> proto = lq.integer.export.to_onnx(model)
        >>> [node.op_type for node in proto.graph.node if node.domain == "ai.larqlite"]
        ['IntClip', 'IntMatMul', 'IntDequantize']

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877;
        https://onnx.ai/onnx/operators/
    """
    from larqlite.integer.export.onnx import write_onnx

    return write_onnx(model, path, input_dtype)


def to_qdq(
    model: tf_keras.Model,
    path: str | os.PathLike | None = None,
    input_dtype: str | None = None,
) -> onnx.ModelProto:
    """A standard ONNX model of floats between QuantizeLinear and DequantizeLinear.

    Kernels are int8 with a scale for each output channel, biases int32, activations int8
    or uint8 with the powers of two of the integer model; where it has one for each channel,
    the file has the smallest, and the kernels around take up the others. A kernel's scale
    is the one that the requantization behind it multiplies with, its quantized scale. What
    remains are ties, which QuantizeLinear rounds to even and the integer model up, and
    float32 sums: an integer that is one below. Later layers may make more of it.

    Args:
        model: a calibrated integer model of `larqlite.integer.models.quantize`.
        path: where to write the file too, `*.onnx`.
        input_dtype: which integers come in, "uint8" or "int8"; the file takes float32.
            By default those that hold what each input was calibrated with.

    Returns:
        The model, of opset 18.

    Raises:
        UnsupportedModelError: (a `ValueError`) a float model, or one that is not
            calibrated, or whose sizes are open.
        UnsupportedLayerError: (a `RuntimeError`) a layer that has no such form.
        ArgumentError: (a `ValueError`) another suffix, or an `input_dtype` that does not
            exist or does not hold what the model was calibrated with.
        MissingFileError: the folder does not exist.

    Example:
        >>> float_model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> model = lq.integer.models.quantize(float_model)
        >>> [node.op_type for node in lq.integer.export.to_qdq(model).graph.node][:2]
        ['QuantizeLinear', 'DequantizeLinear']

    References:
        https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
    """
    from larqlite.integer.export.qdq import write_qdq

    return write_qdq(model, path, input_dtype)


def to_tflite(
    model: tf_keras.Model,
    path: str | os.PathLike | None = None,
    samples: Any = None,
    input_dtype: str | None = None,
) -> bytes:
    """An int8 TFLite file with the scales of an integer model.

    Kernels keep their integers (those of fewer bits too), activations their powers of two;
    a kernel's scale is the one that the requantization behind it multiplies with. TFLite
    has no fractional bits for each channel: those go into the next kernel, if that has
    room for them in 8 bits. And it rounds every tensor to 8 bits: for accumulators that
    the integer model leaves as they are (of the last layer, or before a pooling), ranges
    are measured on samples.

    Args:
        model: a calibrated integer model of `larqlite.integer.models.quantize`.
        path: where to write the file too, `*.tflite`.
        samples: as for `compare`; needed if there are such accumulators.
        input_dtype: which integers come in, "uint8" or "int8"; the file takes float32.
            By default those that hold what each input was calibrated with.

    Returns:
        The content of the file.

    Raises:
        UnsupportedModelError: (a `ValueError`) a float model, or one that is not
            calibrated, or whose sizes are open.
        UnsupportedLayerError: (a `RuntimeError`) a layer that has no such form, or does not
            fit into 8 bits.
        ArgumentError: (a `ValueError`) samples are missing or no integers; another suffix;
            an `input_dtype` that does not hold what the model was calibrated with.
        MissingFileError: the folder does not exist.

    Example:
        >>> float_model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> samples = np.arange(12).reshape(4, 3)
        >>> model = lq.integer.models.quantize(float_model, samples=samples)
        >>> lq.integer.export.to_tflite(model, samples=samples)[4:8]
        b'TFL3'

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877, section 2.
    """
    from larqlite.integer.export.tflite import write_tflite

    return write_tflite(model, path, samples, input_dtype)


def compare(
    model: tf_keras.Model, file: Any, samples: Any, batch_size: int = 64
) -> Comparison:
    """Runs an integer model and one of its exports on the same samples.

    An ONNX of integers is compared layer by layer, bit for bit; the first layer that
    differs is named. Of the others the outputs are compared.

    Args:
        model: the integer model.
        file: the path of an `.onnx` or `.tflite` file, a `ModelProto`, or the bytes of a
            TFLite file.
        samples: an array, or a list of one for each input, or batches of these.
        batch_size: for arrays.

    Returns:
        A `Comparison`, whose `str` is a table.

    Raises:
        UnsupportedModelError: (a `ValueError`) a float model, or one that is not
            calibrated.
        ArgumentError: (a `ValueError`) samples of another shape, or none, or that the
            model or the file would cut; a file of another model.
        MissingFileError: there is no such file.

    Example:
        >>> float_model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> model = lq.integer.models.quantize(float_model)
        >>> samples = np.arange(12).reshape(4, 3)
        >>> proto = lq.integer.export.to_onnx(model)
        >>> result = lq.integer.export.compare(model, proto, samples)
        >>> result.is_exact, result.largest_units, result.label_agreement
        (True, 0.0, 1.0)
    """
    from larqlite.integer.export import _compare

    return _compare.compare(model, file, samples, batch_size)
