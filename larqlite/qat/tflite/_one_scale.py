"""One rule for the operations whose inputs and outputs have one scale in TFLite.

TFLite has a concatenation, a selection or a transposition of integers only with one scale
and zero point for all that goes in and comes out. Where the model gives some of these
tensors no range, the converter takes the range of another, and clips them to it. The rule
leaves it nothing to choose. With the tensors that such operations tie together:

- an output takes over the range of the inputs, if they all have the same, and is rounded
  to it again before an operation with another range;
- if only one fake quantization reads it, or operations that lead to it alone, it is rounded
  to that range before as well, and so are the inputs that have none: values that are only
  moved or compared are the same whether they are rounded before or after;
- where neither holds, some tensor has no range in the model, and the operation is computed
  in float32: barriers keep the ranges beside it out.

Another choice is left to it where a sigmoid or a tanh of float values, as of the gates of
an LSTM, goes into an operation that is rounded. It would compute this one in integers, in
the steps of 1/256 or 1/128 that these functions have there, however narrow the range
behind is. A barrier before the rounding keeps it in float32.

Comparisons of integers are exact where both sides have one range, or one of them is 0;
what has another range, or is a constant between two levels, is rounded to a level first, so
that a value on this level comes out on the other side. They are computed in float32.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.qat.tflite._traced import Traced, TracedEdge

__all__ = ["with_one_scale"]


# Kinds of operations of TensorFlow, by what TFLite's integers of them ask for.
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What comes out are values that went in: rounding may come first or last.
MOVES = _words(
    """
    BatchToSpaceND BroadcastTo Concat ConcatV2 DepthToSpace ExpandDims Gather GatherNd
    GatherV2 Max MaxPool MaxPoolV2 Maximum Min Minimum MirrorPad Pack Pad PadV2 Reshape
    ResizeNearestNeighbor Reverse ReverseSequence ReverseV2 Select SelectV2 Slice
    SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Tile TopKV2 Transpose
    Unpack
    """
)
# One scale too, but for values that are mixed.
MIXES = _words("AvgPool ResizeBilinear")
# The converter tries to make integers of these, and stops.
STAYS = _words("OneHot")
# Integers of these have a scale of their own: the ends of their ranges, bits, narrow.
KNOWN = {
    "LogSoftmax": (-16 * 255 / 256, 0.0, 8, False),
    "Sigmoid": (0.0, 255 / 256, 8, False),
    "Softmax": (0.0, 255 / 256, 8, False),
    "Tanh": (-1.0, 127 / 128, 8, False),
}
# The kernel of integers stops at a divisor of 0, and rounds the quotient of two codes.
DIVIDES = _words("Div DivNoNan RealDiv")
# The kernels of integers compare codes, for which they round what has another scale.
COMPARES = _words("Equal Greater GreaterEqual Less LessEqual NotEqual")
# What the converter joins with a convolution before.
JOINED = _words("Add AddV2 BiasAdd FusedBatchNormV3 Mul Relu Relu6 Sub")
QUANTIZES = "FakeQuantWithMinMaxVars"

# A mean loses no more than this part of a step where integers have the wider range.
WIDER = 2.5


def with_one_scale(function, specs) -> tf.types.experimental.ConcreteFunction:
    """The function with the rule applied, and its variables as constants.

    TensorFlow saves and loads a function that it converts; constants take half as long
    as variables, and become the same file but for names of its inner tensors.

    Args:
        function: the concrete function of a model, its outputs in a dictionary.
        specs: of its inputs.
    """
    traced = Traced(function)
    _Rule(traced).apply()
    if not traced.is_changed and traced.reads_tables:
        return function
    structure = function.structured_outputs

    def compute(*inputs):
        return tf.nest.pack_sequence_as(structure, traced.computes(inputs))

    return tf.function(compute, autograph=False).get_concrete_function(*specs)


class _Rule:
    """The ranges of the tensors of a graph, those that are there and those asked for."""

    def __init__(self, traced: Traced):
        self._traced = traced
        self._own: dict[str, tuple] = {}
        self._asked: dict[str, tf.Operation] = {}
        self._fixed: set[str] = set()  # which only the converter gives a range
        self._givers: dict[tuple, tf.Operation] = {}  # a fake quantization by its range

    def apply(self) -> None:
        """Changes the graph."""
        for operation in reversed(self._traced.operations):
            for output in operation.outputs:
                self._find_asked(output)
        for operation in self._traced.operations:
            self._find_own(operation)
        for operation in self._traced.operations:
            if operation.type in MOVES | MIXES | STAYS:
                self._settle(operation)
            elif operation.type == QUANTIZES:
                self._settle_rounding(operation)
            elif operation.type in DIVIDES:
                self._keep_float(operation, 1)
            elif operation.type in COMPARES:
                self._settle_comparison(operation)
            elif operation.type == "Square":
                self._settle_length(operation)
            elif operation.type == "Conv2DBackpropInput":
                is_float = operation.outputs[0].dtype == tf.float32
                if is_float and not self._is_rounded_soon(operation):
                    self._traced.hide_constant(
                        TracedEdge(operation, 1), operation.inputs[2]
                    )
            elif operation.type in ("Relu", "Relu6"):
                self._settle_relu(operation)
            else:
                self._settle_fixed(operation)

    def _find_own(self, operation: tf.Operation) -> None:
        kind = operation.type
        if kind == QUANTIZES:
            ends = self._range_of(operation)
            self._own[operation.outputs[0].name] = ends
            self._givers.setdefault(ends, operation)
        elif kind in MOVES | MIXES:
            own = self._common(operation)
            if own is not None and not self._is_rounded_next(operation, own):
                self._own.update((output.name, own) for output in operation.outputs)
            elif any(t.name in self._fixed for _, t in self._traced.data_of(operation)):
                self._fixed.update(output.name for output in operation.outputs)
        elif kind in KNOWN:
            for _, tensor in self._traced.data_of(operation):
                if self._own_of(tensor) is not None:
                    self._own[operation.outputs[0].name] = KNOWN[kind]
                elif self._traced.is_computed(tensor):
                    self._fixed.add(operation.outputs[0].name)

    def _own_of(self, tensor: tf.Tensor) -> tuple | None:
        return self._own.get(self._traced.root(tensor).name)

    def _range_of(self, operation: tf.Operation) -> tuple:
        """Two fake quantizations with equal keys have the same range."""
        ends = []
        for end in operation.inputs[1:]:
            value = self._traced.constant(end)
            root = self._traced.root(end).name
            ends.append(root if value is None else float(value))
        attributes = ("num_bits", "narrow_range")
        return (*ends, *(operation.get_attr(name) for name in attributes))

    def _common(self, operation: tf.Operation) -> tuple | None:
        """The one range of all that goes in; constants have one if they are 0."""
        found = set()
        for _, tensor in self._traced.data_of(operation):
            own = self._own_of(tensor)
            if own is not None:
                found.add(own)
            elif self._traced.is_computed(tensor) or not self._is_zero(tensor):
                return None
        return found.pop() if len(found) == 1 else None

    def _is_zero(self, tensor: tf.Tensor) -> bool:
        values = self._traced.constant(tensor)
        return values is not None and not np.any(values)

    def _find_asked(self, tensor: tf.Tensor) -> None:
        """The one fake quantization that all that reads a tensor leads to."""
        if self._traced.root(tensor).name != tensor.name:
            return
        found = {self._asked_by(edge) for edge in self._traced.readers(tensor)}
        if len(found) == 1 and None not in found:
            (self._asked[tensor.name],) = found

    def _asked_by(self, edge: TracedEdge) -> tf.Operation | None:
        reader = edge.reader
        if reader is None:
            return None
        if reader.type == QUANTIZES and edge.position == 0:
            return reader
        if reader.type not in MOVES:
            return None
        asked = {self._asked.get(output.name) for output in reader.outputs}
        return asked.pop() if len(asked) == 1 else None

    def _settle(self, operation: tf.Operation) -> None:
        """Leaves the converter nothing to choose at one operation."""
        data = self._traced.data_of(operation)
        if not any(self._traced.is_computed(output) for output in operation.outputs):
            return
        if not data or self._own_of(operation.outputs[0]) is not None:
            return
        asked = {self._asked.get(output.name) for output in operation.outputs}
        asked = asked.pop() if len(asked) == 1 else None
        if asked is not None and operation.type in MOVES:
            self._round_before(operation, data, asked)
            return
        for position, _ in data:
            self._keep_float(operation, position)
        for output in operation.outputs:
            for edge in self._traced.readers(output):
                if edge.reader is not None and edge.reader.type == QUANTIZES:
                    self._traced.keep_out(edge)

    def _round_before(self, operation, data, asked: tf.Operation) -> None:
        for position, tensor in data:
            if self._own_of(tensor) is not None:
                self._say_own(tensor, asked)
                continue  # the converter goes from its scale to the asked one
            if not self._traced.is_computed(tensor):
                continue  # a constant, which it stores with the asked one
            edge = TracedEdge(operation, position)
            others_read_it = self._asked.get(tensor.name) is not asked
            keeps_out = others_read_it or tensor.op.type in MIXES | STAYS
            self._traced.round(edge, asked, keeps_out or self._is_coarse(tensor))

    def _say_own(self, tensor: tf.Tensor, asked: tf.Operation) -> None:
        """Rounds what has its range from an operation before, if others read it too.

        The converter would give it the one that is asked for here, for all of them.
        """
        own = self._own_of(tensor)
        if own == self._range_of(asked) or tensor.op.type == QUANTIZES:
            return
        if self._asked.get(tensor.name) is not asked:
            self._traced.round_for_all(tensor, self._givers.get(own, own))

    def _settle_comparison(self, operation: tf.Operation) -> None:
        data = self._traced.data_of(operation)
        is_zero = any(self._is_zero(tensor) for _, tensor in data)
        if not is_zero and self._common(operation) is None:
            for position, _ in data:
                self._keep_float(operation, position)

    def _keep_float(self, operation: tf.Operation, position: int) -> None:
        """Hides the range of what an operation reads, so that it computes in float32."""
        tensor = self._traced.root(operation.inputs[position])
        if self._own_of(tensor) is not None or tensor.name in self._fixed:
            self._traced.keep_out(TracedEdge(operation, position))

    def _settle_fixed(self, operation: tf.Operation) -> None:
        """Keeps a softmax of floats from being rounded, where the rest has a range.

        A sigmoid, tanh or softmax behind it needs none to become one of integers.
        """
        data = self._traced.data_of(operation)
        has_own = any(self._own_of(tensor) is not None for _, tensor in data)
        if has_own or operation.type in KNOWN:
            for position, tensor in data:
                if tensor.name in self._fixed:
                    self._traced.keep_out(TracedEdge(operation, position))

    def _settle_rounding(self, quantize: tf.Operation) -> None:
        """Keeps what is rounded from being computed in the steps of a sigmoid or tanh."""
        if self._is_coarse(self._traced.root(quantize.inputs[0])):
            self._traced.keep_out(TracedEdge(quantize, 0))

    def _is_coarse(self, tensor: tf.Tensor) -> bool:
        """Whether all that a tensor is made of has a range from the converter only.

        What only moves values is settled by itself, and operations that read a range of
        the model by `_settle_fixed`.
        """
        kind = tensor.op.type
        if kind in KNOWN:
            return tensor.name in self._fixed
        if kind in MOVES | MIXES | STAYS or kind == QUANTIZES:
            return False
        data = [t for _, t in self._traced.data_of(tensor.op)]
        computed = [t for t in data if self._traced.is_computed(t)]
        if any(self._own_of(t) is not None for t in data):
            return False
        if kind in JOINED and len(computed) == 1:
            return self._is_coarse(computed[0])
        # Of two operations in a row, no range is known in the middle.
        return bool(computed) and all(
            t.op.type in KNOWN and t.name in self._fixed for t in computed
        )

    def _is_rounded_next(self, operation: tf.Operation, own: tuple) -> bool:
        """Whether what comes out gets another range at once, which counts then.

        A mean is computed in the steps of what goes in, unless these are far wider.
        """
        readers = self._traced.readers(operation.outputs[0])
        if len(operation.outputs) > 1 or len(readers) != 1:
            return False
        asked = self._asked.get(operation.outputs[0].name)
        if asked is None or own == (asked_range := self._range_of(asked)):
            return False
        if operation.type == "AvgPool":
            return _width(own) > WIDER * _width(asked_range)
        # Of what is resized, the converter would clip what goes in.
        return operation.type in MIXES or readers[0].reader.type == QUANTIZES

    def _settle_relu(self, relu: tf.Operation) -> None:
        """Rounds the sums of a transposed convolution, which no ReLU is joined with.

        A range that begins with 0 does what the ReLU does.
        """
        source = self._traced.root(relu.inputs[0])
        before = source.op
        if before.type in ("BiasAdd", "AddV2"):
            before = self._traced.root(before.inputs[0]).op
        asked = self._asked.get(relu.outputs[0].name)
        if before.type != "Conv2DBackpropInput" or asked is None:
            return
        low, high, *_ = self._range_of(asked)
        if low == 0 and (
            relu.type == "Relu" or (not isinstance(high, str) and high <= 6)
        ):
            self._traced.round(TracedEdge(relu, 0), asked)

    def _is_rounded_soon(self, operation: tf.Operation) -> bool:
        """Whether sums are rounded after nothing but constants and a ReLU."""
        readers = self._traced.readers(operation.outputs[0])
        if len(readers) != 1 or readers[0].reader is None:
            return False
        (reader,) = (edge.reader for edge in readers)
        if reader.type not in JOINED:
            return reader.type == QUANTIZES
        computed = [t for t in reader.inputs if self._traced.is_computed(t)]
        return len(computed) == 1 and self._is_rounded_soon(reader)

    def _settle_length(self, square: tf.Operation) -> None:
        """Division by the length of vectors, whose integers have steps of 1/128."""
        inputs = self._traced.root(square.inputs[0])
        chain = square
        for kind in ("Sum", "Maximum", "Rsqrt", "Mul"):
            readers = self._traced.readers(chain.outputs[0])
            if len(readers) != 1 or getattr(readers[0].reader, "type", None) != kind:
                return
            chain = readers[0].reader
        if all(self._traced.root(t).name != inputs.name for t in chain.inputs):
            return
        asked = self._asked.get(chain.outputs[0].name)
        if asked is None or _width(self._range_of(asked)) < 1.0:
            self._keep_float(square, 0)


def _width(ends: tuple) -> float:
    """The length of a range; that of one that is not known counts as none."""
    known = not any(isinstance(end, str) for end in ends[:2])
    return ends[1] - ends[0] if known else 0.0
