"""An operation of a quantized ONNX model: what each layer states, and what it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from larqlite import onnx_graph
from larqlite.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    import onnx

__all__ = ["OnnxLayer", "TensorRange", "TensorShape"]


class TensorShape(NamedTuple):
    """Sizes of a tensor, None for one that is open, and its dtype.

    >>> from larqlite.integer.onnx.layers import TensorShape
    >>> TensorShape((None, 3, 8, 8), np.dtype("int8")).shape
    (None, 3, 8, 8)
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype


class TensorRange(NamedTuple):
    """Least and largest values seen in calibration, scalars or one per channel.

    >>> from larqlite.integer.onnx.layers import TensorRange
    >>> float(TensorRange(np.float64(-2), np.float64(1)).maximum)
    1.0
    """

    minimum: np.ndarray
    maximum: np.ndarray


class OnnxLayer:
    """Base class of the integer operations of a quantized ONNX model.

    A layer becomes one node of the domain `ai.larqlite`, and the file carries a function
    of standard operations for it, so that a stock ONNX Runtime runs it. Layers of equal
    `op_type` share the function. A subclass gives its attributes to this constructor and
    defines:

    - `__build__(self, *input_ts, downscale=True)`: takes the `TensorShape` of each input,
      returns that of the output. `downscale` is False when nothing integer follows, so
      that the layer may give out 32-bit integers.
    - `__quantize__(self, *qlayers, out_tensor_range, force_fp=False)`: takes the quantized
      layers before it (with `output_scale`, also as `weights["scale"]`, and
      `zero_point`) and the `TensorRange` of its
      output; returns `(weights, output_scale)`: a dictionary of integer arrays, stored as
      `<node>_<name>`, and the scale with which `real * output_scale` is the integer, a
      scalar or one per channel. `force_fp` asks for a power of two.
    - `build_subgraph(op_type)`: a static method that returns the nodes of the function.
      Tensors that no node gives out are weights, if `__quantize__` returned one of that
      name, else inputs, in the order of first use.

    Attributes that may be set before `build`: `output_bits`, 8 or 16, which layers whose
    `can_widen` is set heed; `weight_bits`, of those with weights. After it, `needs_one_scale`
    says whether the inputs must not have a scale for each channel, `keeps_scale` whether
    the output has that of the input.

    Args:
        base_name: the operation's type, without suffixes.
        opset_imports: list of OperatorSetIdProto, the domains that the nodes of the
            function come from. None for standard operations.
        name: of the node.
        **kwargs: its attributes; their types are inferred by
            `onnx.helper.make_attribute`.

    Raises:
        ArgumentError: an attribute of no type that ONNX knows.

    >>> from larqlite.integer.onnx.layers import OnnxLayer
    >>> OnnxLayer("Scaled", name="first", factor=2).attributes["factor"].i
    2
    """

    output_bits = 8
    weight_bits = 8
    can_widen = False
    needs_one_scale = False
    keeps_scale = False

    def __init__(self, base_name: str, opset_imports=None, name: str = "", **kwargs):
        from onnx import helper

        self.base_name = base_name
        self.name = name
        self.opset_imports = list(opset_imports or [])
        self.attributes: dict[str, onnx.AttributeProto] = {}
        for key, value in kwargs.items():
            try:
                self.attributes[key] = helper.make_attribute(key, value)
            except (TypeError, ValueError) as error:
                raise ArgumentError(
                    f'{base_name} "{name}": the attribute {key}={value!r} is of no type '
                    f"that ONNX stores: {error}\n  Fix: a number, a string, a tensor "
                    "(TensorProto), a graph, or a list of one of them."
                ) from error
        self.weights: dict[str, np.ndarray] = {}
        self.quantized_weights: dict[str, np.ndarray] = {}
        self.input: tuple[TensorShape, ...] = ()
        self.output: TensorShape | None = None
        self.output_scale: np.ndarray | None = None
        self.zero_point: np.ndarray | None = None

    @property
    def op_type(self) -> str:
        """The type of the node: the base name, with a suffix for each part in use."""
        return self.base_name

    def set_weight(self, name: str, value: Any) -> None:
        """Keeps a float weight for `__quantize__`, which finds it in `weights`."""
        self.weights[name] = np.asarray(value)

    def __build__(self, *input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        raise NotImplementedError(self._missing("__build__"))

    def __quantize__(
        self, *qlayers: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        raise NotImplementedError(self._missing("__quantize__"))

    @staticmethod
    def build_subgraph(op_type: str) -> list[onnx.NodeProto]:
        """The nodes of the function of an operation."""
        raise NotImplementedError(f"build_subgraph is not defined for {op_type}")

    def build(self, *input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        """Calls `__build__` and keeps the shapes of inputs and output."""
        output = self.__build__(*input_ts, downscale=downscale)
        if not (isinstance(output, tuple) and len(output) == 2):
            raise ArgumentError(
                f"{self._where}: __build__ returned {output!r}.\n"
                "  Fix: return TensorShape(shape, dtype) of the output."
            )
        self.input = input_ts
        self.output = TensorShape(tuple(output[0]), np.dtype(output[1]))
        return self.output

    def quantize(
        self, *qlayers: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> None:
        """Calls `__quantize__` and keeps the integer weights and the output scale."""
        found = self.__quantize__(
            *qlayers, out_tensor_range=out_tensor_range, force_fp=force_fp
        )
        if not (isinstance(found, tuple) and len(found) == 2):
            raise ArgumentError(
                f"{self._where}: __quantize__ returned {type(found).__name__}.\n"
                "  Fix: return (weights, output_scale), a dictionary of arrays and the "
                "factor from real values to integers."
            )
        weights, scale = found
        scale = np.asarray(scale, np.float64)
        if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
            raise ArgumentError(
                f"{self._where}: __quantize__ returned the output scale {scale}.\n"
                "  Fix: positive, finite numbers."
            )
        self.quantized_weights = {k: np.asarray(v) for k, v in weights.items()}
        self.output_scale = scale
        # Where layers that were written for QuantizeML look for the scale of an input.
        self.weights.setdefault("scale", scale)

    def make_function(self, opset: int = onnx_graph.OPSET) -> onnx.FunctionProto:
        """The function that nodes of this `op_type` stand for.

        Args:
            opset: of the standard operations, that of the model which holds it.

        Raises:
            UnsupportedModelError: `build_subgraph` does not return nodes that fit.
        """
        import onnx

        nodes = self.build_subgraph(self.op_type)
        if not (
            isinstance(nodes, Sequence)
            and nodes
            and all(isinstance(node, onnx.NodeProto) for node in nodes)
        ):
            raise UnsupportedModelError(
                f"{self._where}: build_subgraph returned {type(nodes).__name__}.\n"
                "  Fix: return a list of NodeProtos (onnx.helper.make_node)."
            )
        imports = {item.domain: item.version for item in self.opset_imports}
        function = onnx_graph.function_from_nodes(
            self.op_type, nodes, imports | {"": opset}
        )
        unused = set(self.quantized_weights) - set(function.input)
        absent = set(function.attribute) - set(self.attributes)
        if unused or absent or len(function.output) != 1:
            raise UnsupportedModelError(
                f"{self._where}: its nodes do not use the weights {sorted(unused)}, refer "
                f"to attributes {sorted(absent)} which it does not have, or give out "
                f"{list(function.output)} instead of one tensor.\n"
                "  Fix: name tensors in build_subgraph as in the dictionary of "
                "__quantize__, attributes as in the constructor."
            )
        return function

    def make_node(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        function: onnx.FunctionProto | None = None,
    ) -> onnx.NodeProto:
        """The node of this layer.

        Args:
            inputs: names of the tensors that come in, without weights.
            outputs: names of the tensors that go out.
            function: from `make_function`, made anew if left out.

        Raises:
            UnsupportedModelError: the function takes another number of inputs.
        """
        from onnx import helper

        function = function or self.make_function()
        weights = self.quantized_weights
        free = [tensor for tensor in function.input if tensor not in weights]
        if len(free) != len(inputs):
            raise UnsupportedModelError(
                f"{self._where}: its nodes take {free}, and its inputs are "
                f"{list(inputs)}.\n  Fix: as many free tensors in build_subgraph as "
                "inputs, beside the weights that __quantize__ returns."
            )
        given = iter(inputs)
        names = [
            self.weight_name(tensor) if tensor in weights else next(given)
            for tensor in function.input
        ]
        node = helper.make_node(
            self.op_type, names, list(outputs), self.name, domain=onnx_graph.DOMAIN
        )
        node.attribute.extend(self.attributes[key] for key in function.attribute)
        return node

    def weight_name(self, weight: str) -> str:
        """The name under which the model stores a weight of this layer."""
        return f"{self.name}_{weight}"

    @property
    def _where(self) -> str:
        return f'{type(self).__name__} "{self.name}" ({self.op_type})'

    def _missing(self, method: str) -> str:
        return f"{self._where} does not define {method}"
