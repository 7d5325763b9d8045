"""Which steps each integer layer becomes in a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from larqlite.deploy.converters import ConverterWalk, in_inference
from larqlite.graph import LayerCall, follow, in_order
from larqlite.integer import layers
from larqlite.integer.export._integers import (
    Integers,
    TensorQParams,
    bias_of,
    integers_of,
    of_plain,
    whole,
)
from larqlite.integer.export.plan._steps import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepOp,
    asked_for,
)
from larqlite.integer.layers.internal import (
    QuantizedLayer,
    float_class,
    output_frac_bits,
    output_scales,
)
from larqlite.onnx_graph import refuse
from larqlite.primitives import signed_codes

BUILDERS: dict[type, Callable] = {}


def builds(*classes: type) -> Callable:
    """Decorator: the function makes the steps of layers of these classes."""

    def decorator(function: Callable) -> Callable:
        BUILDERS.update(dict.fromkeys(classes, function))
        return function

    return decorator


class Planner(ConverterWalk):
    """Follows a model and adds its layers to a plan; tensors stand in for values."""

    def __init__(self, plan: ExportPlan, model):
        super().__init__(None, model)
        self.plan = plan
        self.path = ""
        self._shapes: list[tuple] = []
        self._readers: Counter = Counter()

    def follow(self, model, values) -> list[ExportTensor]:
        """The outputs of a functional model; each tensor knows how many layers take it
        before the first of them does."""
        self._readers = _readers_of(model)
        self._arrive(model.inputs, values)
        return super().follow(model, values)

    def _arrive(self, tensors, values) -> list[ExportTensor]:
        for tensor, value in zip(tensors, values, strict=True):
            if isinstance(value, ExportTensor):  # and no constant
                value.readers = max(value.readers, self._readers[id(tensor)])
        return values

    def _enter(self, call: LayerCall, inside: Callable) -> list[ExportTensor]:
        outer, self._readers = self._readers, _readers_of(call.layer)
        self._arrive(call.layer.inputs, in_order(call.layer, call.args[0]))
        results = super()._enter(call, inside)
        self._readers = outer
        return self._arrive(call.output_tensors, results)

    def _apply(self, call: LayerCall) -> list[ExportTensor]:
        self.path = self._path_of(call)
        self._shapes = [(None, *tensor.shape[1:]) for tensor in call.output_tensors]
        args, kwargs = in_inference(call.layer, self.path, call.args, call.kwargs)
        return self._arrive(
            call.output_tensors, self._results_of(call.layer, args, kwargs)
        )

    def _results_of(self, layer, args: tuple, kwargs: dict) -> list[ExportTensor]:
        is_way_out = type(layer) is layers.Dequantizer
        if not is_way_out and not isinstance(layer, QuantizedLayer):
            return self._float(layer, args, kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        if is_way_out:
            return [self.as_real(layer, x) for x in tf.nest.flatten(inputs)]
        if type(layer) not in BUILDERS:
            raise refuse(
                layer,
                self.path,
                "it has no form in a file of quantized floats",
                "lq.integer.export.to_onnx(model), which writes every integer layer",
            )
        return [self._quantized(layer, tf.nest.flatten(inputs))]

    def _quantized(self, layer, inputs: list[ExportTensor]) -> ExportTensor:
        probes = [x.integers.probe() for x in inputs]
        computed = layer.compute(probes if len(probes) > 1 else probes[0])
        qparams = TensorQParams.of(computed)
        y = BUILDERS[type(layer)](self, layer, inputs, computed)
        y.integers, y.real = _described(y, qparams), scale_of(qparams)
        if layer.out_quantizer is None:
            return y
        return self._requantized(layer, y, qparams)

    def _requantized(
        self, layer, x: ExportTensor, qparams: TensorQParams
    ) -> ExportTensor:
        quantizer = layer.out_quantizer
        bits = quantizer.value_bits
        frac_bits = output_frac_bits(quantizer).numpy()
        taken = np.exp2(-np.float64(qparams.frac_bits))
        if qparams.scales is not None:
            scales = output_scales(quantizer, qparams.scales)
            taken = scales.values.numpy() * np.exp2(
                -np.float64(scales.frac_bits.numpy() + qparams.frac_bits)
            )
            taken = np.where(taken > 0, taken, np.float64(qparams.scales))
        real = np.exp2(-np.float64(frac_bits))
        scale = real.min()
        wanted = taken * scale / real
        if not asked_for(x, wanted):
            ratio = np.broadcast_to(wanted / x.scale, (x.shape[-1],))
            if np.allclose(ratio, ratio[0], rtol=1e-6, atol=0):
                scale = scale / ratio[0]
            else:
                x = self.scaled(layer, x, ratio, wanted)
        is_positive = _is_positive(x)
        low, high = signed_codes(bits)
        step = ExportStep(StepOp.QUANTIZE, self.path, layer, [x])
        step.data = {
            "low": 0 if is_positive else low,
            "high": high,
            "is_positive": is_positive,
        }
        y = self.plan.add(step, x.shape, scale)
        y.real = real
        y.integers = _described(
            y, TensorQParams(bits, 2**bits, np.asarray(frac_bits, np.int32))
        )
        return y

    def scaled(self, layer, x: ExportTensor, factors, scale) -> ExportTensor:
        """`x` times a factor for each channel; its integers are of `scale` then."""
        step = ExportStep(StepOp.SCALE, self.path, layer, [x])
        step.data = {"factors": factors, "is_positive": _is_positive(x)}
        y = self.plan.add(step, x.shape, scale)
        y.integers, y.real = x.integers, x.real
        return y

    def as_real(self, layer, x: ExportTensor) -> ExportTensor:
        """`x` as the numbers that its integers stand for."""
        if x.real is None or np.allclose(x.scale, x.real, rtol=1e-6, atol=0):
            return x
        if asked_for(x, x.real):
            return x
        return self.scaled(layer, x, x.real / x.scale, x.real)

    def _float(self, layer, args: tuple, kwargs: dict) -> list[ExportTensor]:
        given = [
            x for x in tf.nest.flatten((args, kwargs)) if isinstance(x, ExportTensor)
        ]
        step = ExportStep(StepOp.FLOAT, self.path, layer, given)
        step.data = {"args": args, "kwargs": kwargs}
        first, *others = self._shapes
        scale = np.asarray(0.0)
        step.data["others"] = [
            ExportTensor(shape, scale, step=step) for shape in others
        ]
        return [self.plan.add(step, first, scale), *step.data["others"]]

    def step(
        self, op: StepOp, layer, inputs: list[ExportTensor], shape, scale, **data
    ) -> ExportTensor:
        """Adds a step of the layer."""
        made = ExportStep(op, self.path, layer, inputs, data=data)
        if all(_is_positive(x) for x in inputs) and op in _POSITIVE:
            made.data["is_positive"] = True
        return self.plan.add(made, (None, *shape[1:]), scale)

    def refusal(self, layer, why: str, fix: str):
        """The error for a layer; to be raised."""
        return refuse(layer, self.path, why, fix)


def _readers_of(model) -> Counter:
    """How often each Keras tensor of a model is read, by `id`; outputs are read too."""
    readers = Counter(map(id, model.outputs))

    def apply(call: LayerCall) -> list:
        readers.update(map(id, call.input_tensors))
        return [None] * len(call.output_tensors)

    follow(model, [None] * len(model.inputs), apply, lambda call, inside: apply(call))
    return readers


_POSITIVE = (
    StepOp.SAME,
    StepOp.MAX_POOL,
    StepOp.MEAN,
    StepOp.AVERAGE_POOL,
    StepOp.RESHAPE,
    StepOp.UPSAMPLE,
    StepOp.CONCAT,
    StepOp.ADD,
)


def _is_positive(x: ExportTensor) -> bool:
    step = x.step
    return step is not None and (
        step.op == StepOp.RELU or bool(step.data.get("is_positive"))
    )


def scale_of(qparams: TensorQParams) -> np.ndarray:
    """The number that the integer 1 stands for, float64."""
    scale = np.exp2(-np.float64(qparams.frac_bits))
    return scale if qparams.scales is None else scale * np.float64(qparams.scales)


def _described(x: ExportTensor, qparams: TensorQParams) -> Integers:
    limit = whole(qparams.limit)
    return Integers("", x.shape, low=-limit, high=limit, qparams=qparams)


def with_input(plan: ExportPlan, name: str, shape, low: int, high: int) -> ExportTensor:
    """An input of the model as integers from `low` to `high`."""
    source = ExportTensor(tuple(shape), np.float64(1))
    plan.inputs[name] = source
    step = ExportStep(StepOp.QUANTIZE, name, None, [source])
    step.data = {"low": low, "high": high, "is_positive": low >= 0}
    x = plan.add(step, shape, 1.0)
    x.integers = _described(x, of_plain(8))
    return x


@builds(layers.QuantizedRescaling, layers.QuantizedDropout)
def _identity(planner: Planner, layer, inputs, computed) -> ExportTensor:
    # A tensor of its own: its integers mean something else than those of the input.
    return planner.step(StepOp.SAME, layer, inputs, computed.shape, inputs[0].scale)


@builds(layers.QuantizedConv1D, layers.QuantizedConv2D)
def _conv(planner: Planner, layer, inputs, computed) -> ExportTensor:
    if getattr(layer, "padding_value", None) is not None:
        raise planner.refusal(
            layer,
            "its padding_value has no form in a file of quantized floats",
            "lq.integer.export.to_onnx(model), or a convolution that pads with zeros",
        )
    return _with_kernel(planner, layer, inputs, computed, StepOp.CONV)


@builds(layers.QuantizedDepthwiseConv2D)
def _depthwise(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return _with_kernel(planner, layer, inputs, computed, StepOp.DEPTHWISE)


@builds(layers.QuantizedConv2DTranspose)
def _transposed(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return _with_kernel(planner, layer, inputs, computed, StepOp.TRANSPOSED)


@builds(layers.QuantizedDense)
def _dense(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return _with_kernel(planner, layer, inputs, computed, StepOp.DENSE)


def _with_kernel(planner: Planner, layer, inputs, computed, op: StepOp) -> ExportTensor:
    (x,) = inputs
    probe = layer.in_buffer(x.integers.probe())
    kernel = integers_of(layer.quantized_kernel())
    bias = None
    if layer.use_bias:
        product = layer.product(probe, layer.quantized_kernel())
        bias = bias_of(layer.bias_quantizer, layer.bias, product).astype(np.int64)
    frac_bits = x.integers.qparams.frac_bits
    shift = np.max(frac_bits) - frac_bits
    if op != StepOp.DEPTHWISE and np.any(shift) and not np.ndim(x.scale):
        moved = kernel << _along_inputs(shift, op, layer, kernel.shape[-1])
        if np.max(np.abs(moved)) <= 127:
            kernel = moved
        else:
            x = planner.scaled(layer, x, np.exp2(np.float64(shift)), x.scale)
    return planner.step(
        op,
        layer,
        [x],
        computed.shape,
        scale_of(TensorQParams.of(computed)),
        kernel=kernel,
        bias=bias,
    )


def _along_inputs(shift: np.ndarray, op: StepOp, layer, filters: int) -> np.ndarray:
    """Shifts of the input channels in a shape that broadcasts with the kernel."""
    if op == StepOp.TRANSPOSED:
        return shift
    groups = getattr(layer, "groups", 1)
    by_group = shift.reshape(groups, -1).T
    return np.repeat(by_group, filters // groups if groups > 1 else 1, axis=1)


@builds(layers.QuantizedReLU)
def _relu(planner: Planner, layer, inputs, computed) -> ExportTensor:
    (x,) = inputs
    largest = None
    if layer.max_value is not None:
        probe = layer.in_buffer(
            x.integers.probe(), layer.quant_config["buffer_bitwidth"]
        )
        largest = integers_of(layer.max_value_quantizer(layer.max_value, probe))
    return planner.step(StepOp.RELU, layer, inputs, x.shape, x.scale, largest=largest)


@builds(
    layers.QuantizedActivationFunction, layers.QuantizedELU, layers.QuantizedLeakyReLU
)
def _function(planner: Planner, layer, inputs, computed) -> ExportTensor:
    x = planner.as_real(layer, inputs[0])
    scale = scale_of(TensorQParams.of(computed))
    config = layer.get_config()
    del config["quant_config"]
    config.pop("calibrated_inputs", None)
    on_floats = float_class(layer).from_config(config)
    return planner.step(
        StepOp.FUNCTION, layer, [x], x.shape, scale, on_floats=on_floats
    )


@builds(layers.QuantizedMaxPool2D)
def _max_pool(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return planner.step(StepOp.MAX_POOL, layer, inputs, computed.shape, inputs[0].scale)


@builds(layers.QuantizedGlobalAveragePooling2D)
def _mean(planner: Planner, layer, inputs, computed) -> ExportTensor:
    count = inputs[0].shape[1] * inputs[0].shape[2]
    scale = inputs[0].scale / count
    return planner.step(StepOp.MEAN, layer, inputs, computed.shape, scale, count=count)


@builds(layers.QuantizedAveragePooling2D)
def _average_pool(planner: Planner, layer, inputs, computed) -> ExportTensor:
    _, count = layer._factors(inputs[0].shape)
    scale = inputs[0].scale / count
    return planner.step(
        StepOp.AVERAGE_POOL, layer, inputs, computed.shape, scale, count=count
    )


@builds(layers.QuantizedAdd, layers.QuantizedMultiply, layers.QuantizedConcatenate)
def _merge(planner: Planner, layer, inputs, computed) -> ExportTensor:
    inputs = [planner.as_real(layer, x) for x in inputs]
    op = {
        layers.QuantizedAdd: StepOp.ADD,
        layers.QuantizedMultiply: StepOp.MULTIPLY,
        layers.QuantizedConcatenate: StepOp.CONCAT,
    }[type(layer)]
    scale = scale_of(TensorQParams.of(computed))
    return planner.step(op, layer, inputs, computed.shape, scale)


@builds(layers.QuantizedFlatten, layers.QuantizedReshape)
def _reshape(planner: Planner, layer, inputs, computed) -> ExportTensor:
    (x,) = inputs
    scale, last = np.asarray(x.scale), computed.shape[-1]
    if scale.ndim and last != x.shape[-1]:
        scale = np.tile(scale, last // x.shape[-1])
    return planner.step(StepOp.RESHAPE, layer, inputs, computed.shape, scale)


@builds(layers.QuantizedPermute)
def _permute(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return planner.step(StepOp.PERMUTE, layer, inputs, computed.shape, inputs[0].scale)


@builds(layers.QuantizedUpSampling2D)
def _upsample(planner: Planner, layer, inputs, computed) -> ExportTensor:
    return planner.step(StepOp.UPSAMPLE, layer, inputs, computed.shape, inputs[0].scale)
