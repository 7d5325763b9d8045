"""The steps of a plan that have no kernel, as standard ONNX operations on floats."""

from __future__ import annotations

import numpy as np

from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.plan import ExportStep, StepForms, StepOp
from larqlite.onnx_graph import Value, in_one_order, spatial_shape, window_pads

FORMS = StepForms("QDQ files")


class UnweightedSteps:
    """Mixin that writes pooling, merges and moves.

    Attributes:
        graph: what is written to.
        values: what was written, by `id` of the tensor.
    """

    graph: IntegerWriter
    values: dict[int, Value]

    @FORMS.of(StepOp.MAX_POOL)
    def _max_pool(self, step: ExportStep) -> Value:
        return self._pooled(step, "MaxPool")

    @FORMS.of(StepOp.AVERAGE_POOL)
    def _average_pool(self, step: ExportStep) -> Value:
        return self._pooled(step, "AveragePool")

    def _pooled(self, step: ExportStep, op: str) -> Value:
        x = self.graph.channels_first(self._input(step))
        layer = step.layer
        pads = window_pads(
            spatial_shape(x), layer.pool_size, layer.strides, (1, 1), layer.padding
        )
        name = self.graph.node(
            op,
            [x.name],
            kernel_shape=list(layer.pool_size),
            strides=list(layer.strides),
            pads=pads,
        )
        return self.graph.value(name, step.output.shape, is_moved=True)

    @FORMS.of(StepOp.MEAN)
    def _mean(self, step: ExportStep) -> Value:
        x = self.graph.channels_first(self._input(step))
        keepdims = bool(step.layer.keepdims)
        axes = self.graph.constant([2, 3])
        name = self.graph.node("ReduceMean", [x.name, axes], keepdims=int(keepdims))
        return self.graph.value(name, step.output.shape, is_moved=keepdims)

    @FORMS.of(StepOp.ADD)
    def _add(self, step: ExportStep) -> Value:
        x = self._of_several(step, "Add")
        if getattr(step.layer, "average", False):
            part = self.graph.stored(np.float32(1 / len(step.inputs)), "part")
            name = self.graph.node("Mul", [x.name, part])
            x = self.graph.value(name, x.shape, like=x)
        return x

    @FORMS.of(StepOp.MULTIPLY)
    def _multiply(self, step: ExportStep) -> Value:
        return self._of_several(step, "Mul")

    def _of_several(self, step: ExportStep, op: str) -> Value:
        first, *others = self._inputs(step)
        name = first.name
        for other in others:
            name = self.graph.node(op, [name, other.name])
        return self.graph.value(name, step.output.shape, like=first)

    @FORMS.of(StepOp.CONCAT)
    def _concat(self, step: ExportStep) -> Value:
        values = self._inputs(step)
        axis = values[0].stored_axis(step.layer.axis)
        name = self.graph.node("Concat", [x.name for x in values], axis=axis)
        return self.graph.value(name, step.output.shape, like=values[0])

    @FORMS.of(StepOp.RESHAPE)
    def _reshape(self, step: ExportStep) -> Value:
        x = self.graph.channels_last(self._input(step))
        sizes = self.graph.constant([-1, *step.output.shape[1:]])
        name = self.graph.node("Reshape", [x.name, sizes])
        return self.graph.value(name, step.output.shape)

    @FORMS.of(StepOp.PERMUTE)
    def _permute(self, step: ExportStep) -> Value:
        x = self.graph.channels_last(self._input(step))
        name = self.graph.node("Transpose", [x.name], perm=[0, *step.layer.dims])
        return self.graph.value(name, step.output.shape)

    @FORMS.of(StepOp.UPSAMPLE)
    def _upsample(self, step: ExportStep) -> Value:
        x = self.graph.channels_first(self._input(step))
        sizes = np.array([1, 1, *step.layer.size], np.float32)
        names = [x.name, "", self.graph.stored(sizes, "sizes")]
        name = self.graph.node(
            "Resize",
            names,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        return self.graph.value(name, step.output.shape, is_moved=True)

    def _input(self, step: ExportStep) -> Value:
        return self.values[id(step.inputs[0])]

    def _inputs(self, step: ExportStep) -> list[Value]:
        return in_one_order(self.graph, [self.values[id(x)] for x in step.inputs])
