"""`to_tflite(model)`: an integer model as an int8 TFLite file with its own scales."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.graph import call_in_inference, in_order
from larqlite.integer.export._check import check
from larqlite.integer.export._input_kinds import ends_of, require_held
from larqlite.integer.export._run import TFLiteFile
from larqlite.integer.export._self_check import SAMPLES, random_inputs, require_same
from larqlite.integer.export.plan import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepForms,
    StepOp,
    kernel_scales,
    plan_of,
)
from larqlite.integer.export.tflite._checks import open_tensors, require_8_bits
from larqlite.integer.models.internal import known_ends
from larqlite.onnx_graph import WHERE
from larqlite.outputs import written_whole
from larqlite.qat.tflite.internal import first_line, quiet

# `require_8_bits` refuses the others.
FORMS = StepForms("TFLite files", refused=[StepOp.TRANSPOSED])


def write_tflite(
    model: tf_keras.Model,
    path: str | os.PathLike | None,
    samples: Any,
    input_dtype: str | None,
) -> bytes:
    """See `larqlite.integer.export.to_tflite`."""
    token = WHERE.set("lq.integer.export.to_tflite")
    try:
        path = check(model, path, ".tflite")
        with bar("export"):
            plan = plan_of(model, input_dtype, _known(model, samples))
            require_8_bits(plan)
            network = _Network(plan)
            ranges = _ranges(model, plan, network, samples)
            content = _converted(model, network, ranges)
            _require_same(model, network, ranges, content, samples)
        if path is not None:
            with written_whole(path) as temporary:
                temporary.write_bytes(content)
        return content
    finally:
        WHERE.reset(token)


class _Network:
    """The steps of a plan in TensorFlow, with the ranges that the converter keeps."""

    def __init__(self, plan: ExportPlan):
        self.plan = plan
        self.open = open_tensors(plan)

    def __call__(self, values, ranges=None, seen=None) -> list[tf.Tensor]:
        """The outputs.

        Args:
            values: the inputs, float32.
            ranges: largest magnitudes of the tensors that have no scale of 8 bits.
            seen: takes the values of these tensors instead.
        """
        known = dict(zip(map(id, self.plan.inputs.values()), values, strict=True))
        for step in self.plan.steps:
            inputs = [known[id(x)] for x in step.inputs]
            y = FORMS[step.op](self, step, *inputs)
            if step.op == StepOp.FLOAT:
                y, *others = tf.nest.flatten(y)
                known.update(zip(map(id, step.data["others"]), others, strict=True))
            if step.output in self.open:
                place = self.open.index(step.output)
                if seen is not None:
                    seen[place] = y
                if ranges is not None:
                    y = _rounded(y, ranges[place] / 127)
            known[id(step.output)] = y
        return [known[id(x)] for x in self.plan.outputs.values()]

    @FORMS.of(StepOp.QUANTIZE)
    def _quantize(self, step: ExportStep, x):
        low, high = step.data["low"], step.data["high"]
        scale = float(step.output.scale)
        first = 0 if high > 127 else -128
        x = _rounded(x, scale, first)
        # What comes out of a ReLU needs no lower end.
        is_open = low == first or step.data["is_positive"]
        if is_open and high == first + 255:
            return x
        x = tf.clip_by_value(x, low * scale, high * scale)
        return _rounded(x, scale, first)

    @FORMS.of(StepOp.CONV)
    def _conv(self, step: ExportStep, x):
        layer = step.layer
        kernel = _kernel(step)
        strides, dilations = list(layer.strides), list(layer.dilation_rate)
        if x.shape.rank == 3:
            if layer.padding == "causal":
                before = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
                x = tf.pad(x, [[0, 0], [before, 0], [0, 0]])
            x = x[:, None]
            strides, dilations = [1, *strides], [1, *dilations]
        padding = "VALID" if layer.padding == "causal" else layer.padding.upper()
        y = tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)
        y = _with_bias(step, y)
        return y if len(step.output.shape) == 4 else y[:, 0]

    @FORMS.of(StepOp.DEPTHWISE)
    def _depthwise(self, step: ExportStep, x):
        layer = step.layer
        strides = [1, *layer.strides, 1]
        y = tf.nn.depthwise_conv2d(
            x,
            _kernel(step),
            strides,
            layer.padding.upper(),
            dilations=layer.dilation_rate,
        )
        return _with_bias(step, y)

    @FORMS.of(StepOp.DENSE)
    def _dense(self, step: ExportStep, x):
        rows = int(np.prod(step.inputs[0].shape[1:-1]))
        image = tf.reshape(x, [-1, 1, rows, step.inputs[0].shape[-1]])
        y = tf.nn.conv2d(image, _kernel(step), 1, "VALID")
        y = _with_bias(step, y)
        return tf.reshape(y, [-1, *step.output.shape[1:]])

    @FORMS.of(StepOp.RELU)
    def _relu(self, step: ExportStep, x):
        y = tf.nn.relu(x)
        if step.data["largest"] is None:
            return y
        largest = step.data["largest"] * step.output.scale
        return tf.minimum(y, tf.constant(largest, tf.float32))

    @FORMS.of(StepOp.FUNCTION)
    def _function(self, step: ExportStep, x):
        return step.data["on_floats"](x)

    @FORMS.of(StepOp.MAX_POOL)
    def _max_pool(self, step: ExportStep, x):
        layer = step.layer
        return tf.nn.max_pool2d(
            x, layer.pool_size, layer.strides, layer.padding.upper()
        )

    @FORMS.of(StepOp.AVERAGE_POOL)
    def _average_pool(self, step: ExportStep, x):
        layer = step.layer
        return tf.nn.avg_pool2d(
            x, layer.pool_size, layer.strides, layer.padding.upper()
        )

    @FORMS.of(StepOp.MEAN)
    def _mean(self, step: ExportStep, x):
        return tf.reduce_mean(x, [1, 2], keepdims=step.layer.keepdims)

    @FORMS.of(StepOp.ADD)
    def _add(self, step: ExportStep, *values):
        total = tf.add_n(list(values)) if len(values) > 2 else values[0] + values[1]
        if getattr(step.layer, "average", False):
            total *= 1 / len(values)
        return total

    @FORMS.of(StepOp.MULTIPLY)
    def _multiply(self, step: ExportStep, first, *others):
        for other in others:
            first = first * other
        return first

    @FORMS.of(StepOp.CONCAT)
    def _concat(self, step: ExportStep, *values):
        return tf.concat(values, step.layer.axis)

    @FORMS.of(StepOp.RESHAPE)
    def _reshape(self, step: ExportStep, x):
        return tf.reshape(x, [-1, *step.output.shape[1:]])

    @FORMS.of(StepOp.PERMUTE)
    def _permute(self, step: ExportStep, x):
        return tf.transpose(x, [0, *step.layer.dims])

    @FORMS.of(StepOp.UPSAMPLE)
    def _upsample(self, step: ExportStep, x):
        height, width = step.output.shape[1:3]
        return tf.image.resize(x, (height, width), "nearest")

    @FORMS.of(StepOp.SCALE)
    def _scale(self, step: ExportStep, x):
        return x * tf.constant(step.data["factors"], tf.float32)

    @FORMS.of(StepOp.FLOAT)
    def _float(self, step: ExportStep, *values):
        flat = iter(values)
        args, kwargs = tf.nest.map_structure(
            lambda x: next(flat) if isinstance(x, ExportTensor) else x,
            (step.data["args"], step.data["kwargs"]),
        )
        return call_in_inference(step.layer, args, kwargs)


FORMS.require_complete()


def _rounded(x, scale: float, first: int = -128):
    """`x` on the grid of 256 multiples of a scale, from `first` times it on."""
    return tf.quantization.fake_quant_with_min_max_args(
        x, float(first * scale), float((first + 255) * scale)
    )


def _kernel(step: ExportStep) -> tf.Tensor:
    """The kernel of rank 4 with the ranges that make its integers those of the model.

    The converter looks for the ranges right before the convolution, on the last axis.
    """
    kernel, scales = step.data["kernel"], kernel_scales(step)
    shape = (*[1] * (4 - kernel.ndim), *kernel.shape)
    if step.op == StepOp.DEPTHWISE:
        shape = (*kernel.shape[:2], 1, -1)
    values = (kernel.reshape(shape) * scales).astype(np.float32)
    ends = (127 * scales).astype(np.float32)
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        values, -ends, ends, narrow_range=True
    )
    return tf.reshape(rounded, kernel.shape) if step.op == StepOp.DEPTHWISE else rounded


def _with_bias(step: ExportStep, y):
    if step.data["bias"] is None:
        return y
    scale = np.broadcast_to(step.output.scale, (step.output.shape[-1],))
    return y + tf.constant(step.data["bias"] * scale, tf.float32)


def _ranges(model, plan: ExportPlan, network: _Network, samples: Any) -> list[float]:
    """The largest magnitudes of the open tensors on samples."""
    if not network.open:
        return []
    if samples is None:
        names = ", ".join(x.step.path for x in network.open)
        raise ArgumentError(
            f"{WHERE.get()}: TFLite rounds every tensor to 8 bits, and {names} of "
            f'"{plan.name}" give out accumulators that have no range.\n'
            "  Fix: to_tflite(model, samples=samples), to measure their ranges."
        )
    largest = [0.0] * len(network.open)
    for batch in batches_of(model, samples, 64, where=WHERE.get()):
        require_held(model, in_order(model, batch))
        seen: dict[int, tf.Tensor] = {}
        network([tf.cast(x, tf.float32) for x in in_order(model, batch)], seen=seen)
        for place, value in seen.items():
            found = float(tf.reduce_max(tf.abs(value)))
            largest[place] = max(largest[place], found)
    return [value or 1.0 for value in largest]


def _known(model: tf_keras.Model, samples: Any) -> list | None:
    """Smallest and largest number of each input, where they are known from arrays only."""
    if samples is None or None not in known_ends(model):
        return None
    arrays = isinstance(samples, (list, tuple)) and len(samples) == len(model.inputs)
    if isinstance(samples, dict):
        return ends_of(in_order(model, samples))
    if arrays or hasattr(samples, "shape"):
        return ends_of(samples if arrays else [samples])
    return None


def _require_same(model, network, ranges, content: bytes, samples: Any) -> None:
    """Refuses a file in which the converter made other operations of the steps."""
    arrays = random_inputs(network.plan)
    if samples is not None:
        batch = next(iter(batches_of(model, samples, SAMPLES, where=WHERE.get())))
        arrays = [np.asarray(x, np.float32) for x in in_order(model, batch)]
        count = model.inputs[0].shape[0] or SAMPLES
        arrays = [array[:count] for array in arrays]
    file = TFLiteFile(content, model)
    layers = {step.path for step in network.plan.steps if step.op == StepOp.FLOAT}
    without = f" without {', '.join(sorted(layers)[:5])}" if layers else ""
    require_same(
        model.name,
        network([tf.constant(array) for array in arrays], ranges),
        file.outputs(file(arrays)),
        "TFLite's converter",
        f"lq.integer.export.to_qdq(model), or export the part of the model{without}",
        by_largest=True,
    )


def _converted(model, network: _Network, ranges: list[float]) -> bytes:
    specs = [
        tf.TensorSpec(tensor.shape, tf.float32, name=name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]

    def compute(*values):
        return dict(zip(model.output_names, network(values, ranges), strict=True))

    function = tf.function(compute, autograph=False).get_concrete_function(*specs)
    # Holds the variables it reads; what else the model has would be saved and loaded too.
    holder = tf.Module()
    holder.variables_of_function = list(function.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        with quiet():
            return converter.convert()
    except Exception as error:  # its ConverterError has no public name
        raise UnsupportedModelError(
            f'{WHERE.get()}: TFLite\'s converter does not take "{model.name}": '
            f"{first_line(str(error))}\n"
            "  Fix: lq.integer.export.to_qdq(model), which does not need it."
        ) from error
