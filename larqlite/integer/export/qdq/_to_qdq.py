"""`to_qdq(model)`: an integer model as ONNX of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx
import tensorflow as tf
import tf_keras
from onnx import helper

from larqlite._progress import bar
from larqlite.deploy.converters import (
    conv_kernel,
    converter_of,
    depthwise_kernel,
    transposed_kernel,
)
from larqlite.integer.export._check import check
from larqlite.integer.export._file import LAYERS, onnx_model
from larqlite.integer.export._run import STEP, OnnxFile
from larqlite.integer.export._self_check import (
    outputs_of,
    random_inputs,
    require_same,
)
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.plan import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepOp,
    kernel_scales,
    plan_of,
)
from larqlite.integer.export.qdq._steps import FORMS, UnweightedSteps
from larqlite.onnx_graph import (
    WHERE,
    Value,
    conv_pads,
    spatial_shape,
    transposed_pads,
    write,
)


def write_qdq(
    model: tf_keras.Model, path: str | os.PathLike | None, input_dtype: str | None
) -> onnx.ModelProto:
    """See `larqlite.integer.export.to_qdq`."""
    token = WHERE.set("lq.integer.export.to_qdq")
    try:
        path = check(model, path, ".onnx")
        with bar("export"):
            plan = plan_of(model, input_dtype)
            proto = _QdqWriter(plan).model()
            _require_same(model, plan, proto)
            if path is not None:
                write(proto, path)
        return proto
    finally:
        WHERE.reset(token)


def _require_same(
    model: tf_keras.Model, plan: ExportPlan, proto: onnx.ModelProto
) -> None:
    """Refuses a file that is another network than the model, on a few random inputs."""
    arrays = random_inputs(plan)
    file = OnnxFile(proto)
    require_same(
        model.name,
        outputs_of(model, arrays, model.inputs),
        file.outputs(file(arrays)),
        "a form of quantized floats",
        "lq.integer.export.to_onnx(model), which has the same integers",
        by_largest=False,
    )


class _QdqWriter(UnweightedSteps):
    """Writes the steps of a plan."""

    def __init__(self, plan: ExportPlan):
        self.plan = plan
        self.graph = IntegerWriter()
        self.values: dict[int, Value] = {}

    def model(self) -> onnx.ModelProto:
        """The ONNX model."""
        graph = self.graph
        inputs, outputs = {}, {}
        for name, tensor in self.plan.inputs.items():
            stored = graph.tensor_name(name)
            inputs[stored] = graph.value(stored, tensor.shape)
            self.values[id(tensor)] = inputs[stored]
        names = [graph.tensor_name(name) for name in self.plan.outputs]
        for step in self.plan.steps:
            graph.path, graph.layer = step.path, step.layer
            self.values[id(step.output)] = FORMS[step.op](self, step)
        for name, tensor in zip(names, self.plan.outputs.values(), strict=True):
            value = graph.channels_last(self.values[id(tensor)])
            if value.name in {v.name for v in outputs.values()}:
                same = graph.node("Identity", [value.name])
                value = graph.value(same, value.shape)
            outputs[name] = value
        proto = onnx_model(graph, self.plan.name, inputs, outputs)
        kept = [p for p in proto.metadata_props if p.key != LAYERS]
        properties = {p.key: p.value for p in kept}
        steps = [_last_step(tensor) for tensor in self.plan.outputs.values()]
        properties[STEP] = json.dumps(steps)
        del proto.metadata_props[:]
        helper.set_model_props(proto, properties)
        return proto

    @FORMS.of(StepOp.QUANTIZE)
    def _quantize(self, step: ExportStep) -> Value:
        x = self._input(step)
        low, high = step.data["low"], step.data["high"]
        kind = _kind(self.graph, low, high)
        scales = np.asarray(step.output.scale, np.float32)
        scale = self.graph.stored(np.asarray(scales), "scale")
        zero = self.graph.stored(np.zeros(scales.shape, kind), "zero_point")
        info = np.iinfo(kind)
        name = x.name
        # What comes out of a ReLU needs no lower end.
        if low > info.min and not step.data["is_positive"]:
            end = self.graph.stored(scales * np.float32(low), "low")
            name = self.graph.node("Max", [name, end])
        if high < info.max:
            end = self.graph.stored(scales * np.float32(high), "high")
            name = self.graph.node("Min", [name, end])
        codes = self.graph.node("QuantizeLinear", [name, scale, zero])
        self.graph.kinds[codes] = kind
        self.graph.shapes[codes] = x.stored_shape
        name = self.graph.node("DequantizeLinear", [codes, scale, zero])
        return self.graph.value(name, x.shape, like=x)

    @FORMS.of(StepOp.SCALE)
    def _scale(self, step: ExportStep) -> Value:
        x = self._input(step)
        factors = x.per_channel(np.asarray(step.data["factors"], np.float32))
        name = self.graph.node("Mul", [x.name, self.graph.stored(factors, "factors")])
        return self.graph.value(name, x.shape, like=x)

    @FORMS.of(StepOp.CONV)
    def _conv(self, step: ExportStep) -> Value:
        x = self.graph.channels_first(self._input(step))
        kernel = conv_kernel(step.data["kernel"])
        return self._convolved(step, x, "Conv", kernel, 0, step.layer.groups, conv_pads)

    @FORMS.of(StepOp.DEPTHWISE)
    def _depthwise(self, step: ExportStep) -> Value:
        x = self.graph.channels_first(self._input(step))
        kernel = depthwise_kernel(step.data["kernel"])
        return self._convolved(step, x, "Conv", kernel, 0, x.shape[-1], conv_pads)

    @FORMS.of(StepOp.TRANSPOSED)
    def _transposed(self, step: ExportStep) -> Value:
        x = self.graph.channels_first(self._input(step))
        kernel = transposed_kernel(step.data["kernel"])
        pads, added = transposed_pads(step.layer, spatial_shape(x))
        return self._convolved(
            step,
            x,
            "ConvTranspose",
            kernel,
            1,
            1,
            lambda *_: pads,
            dilations=[1, 1],
            output_padding=added,
        )

    def _convolved(
        self, step, x: Value, op: str, kernel, axis: int, group, pads, **changes
    ) -> Value:
        layer = step.layer
        names = [x.name, self._weights(step, kernel, axis), *self._bias(step)]
        settings = {
            "strides": list(layer.strides),
            "dilations": list(layer.dilation_rate),
            "pads": pads(layer, spatial_shape(x)),
            "group": group,
        }
        name = self.graph.node(op, names, **{**settings, **changes})
        return self.graph.value(name, step.output.shape, is_moved=True)

    @FORMS.of(StepOp.DENSE)
    def _dense(self, step: ExportStep) -> Value:
        """`Gemm` with a transposed kernel, which no runtime takes for one to round."""
        x = self.graph.channels_last(self._input(step))
        name, channels = x.name, x.shape[-1]
        if x.rank > 2:
            name = self.graph.node(
                "Reshape", [name, self.graph.constant([-1, channels])]
            )
        kernel = np.ascontiguousarray(step.data["kernel"].T)
        names = [name, self._weights(step, kernel, 0), *self._bias(step)]
        name = self.graph.node("Gemm", names, transB=1)
        if x.rank > 2:
            sizes = self.graph.constant([-1, *step.output.shape[1:]])
            name = self.graph.node("Reshape", [name, sizes])
        return self.graph.value(name, step.output.shape)

    def _weights(self, step: ExportStep, kernel: np.ndarray, axis: int) -> str:
        """An int8 kernel and its scales, one for each output channel."""
        if np.abs(kernel).max() > 128 or kernel.max() > 127:
            raise self.graph.refusal(
                "its kernel has more than 8 bits", "weight_bits of 8 or fewer"
            )
        scales = kernel_scales(step).astype(np.float32)
        names = [
            self.graph.stored(kernel.astype(np.int8), "kernel"),
            self.graph.stored(scales, "kernel_scale"),
            self.graph.stored(np.zeros(len(scales), np.int8), "kernel_zero_point"),
        ]
        return self.graph.node("DequantizeLinear", names, axis=axis)

    def _bias(self, step: ExportStep) -> list[str]:
        """An int32 bias with the scales of the accumulator; nothing if there is none."""
        if step.data["bias"] is None:
            return []
        bias = np.asarray(step.data["bias"], np.int64)
        channels = step.output.shape[-1]
        scales = np.broadcast_to(step.output.scale, (channels,)).astype(np.float32)
        names = [
            self.graph.stored(bias.astype(np.int32), "bias"),
            self.graph.stored(np.array(scales), "bias_scale"),
            self.graph.stored(np.zeros(channels, np.int32), "bias_zero_point"),
        ]
        return [self.graph.node("DequantizeLinear", names, axis=0)]

    @FORMS.of(StepOp.RELU)
    def _relu(self, step: ExportStep) -> Value:
        x = self._input(step)
        name = self.graph.node("Relu", [x.name])
        if step.data["largest"] is not None:
            largest = step.data["largest"] * step.output.scale
            end = x.per_channel(np.asarray(largest, np.float32))
            name = self.graph.node("Min", [name, self.graph.stored(end, "largest")])
        return self.graph.value(name, x.shape, like=x)

    @FORMS.of(StepOp.FUNCTION)
    def _function(self, step: ExportStep) -> Value:
        layer = step.data["on_floats"]
        return converter_of(layer, step.path)(self.graph, layer, self._input(step))

    @FORMS.of(StepOp.FLOAT)
    def _float(self, step: ExportStep) -> Value:
        args, kwargs = tf.nest.map_structure(
            lambda x: self.values[id(x)] if isinstance(x, ExportTensor) else x,
            (step.data["args"], step.data["kwargs"]),
        )
        convert = converter_of(step.layer, step.path)
        first, *others = tf.nest.flatten(
            convert(self.graph, step.layer, *args, **kwargs)
        )
        self.values.update(zip(map(id, step.data["others"]), others, strict=True))
        return first


FORMS.require_complete()


def _kind(graph: IntegerWriter, low: int, high: int) -> str:
    """int8 or uint8, whichever holds the codes."""
    for kind in ("int8", "uint8"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    raise graph.refusal(
        f"its codes from {low} to {high} take more than 8 bits",
        "activation_bits and output_bits of 8 or fewer",
    )


def _last_step(tensor: ExportTensor) -> float | None:
    """The quantization step of an output, or of what its float layers were given."""
    scale = np.max(tensor.scale)
    return float(scale) if scale > 0 else None
