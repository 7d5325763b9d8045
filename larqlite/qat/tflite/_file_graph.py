"""What stands in a TFLite file: its operations and tensors."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util

import numpy as np

from larqlite.errors import ArgumentError

__all__ = ["TFLiteGraph", "TFLiteOperation", "TFLiteTensor", "read_file"]

# Operations between int8 and float32, which compute nothing.
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


@dataclasses.dataclass(frozen=True)
class TFLiteTensor:
    """A tensor of the file.

    Attributes:
        index: its number, as the interpreter counts.
        name: as the converter made it, from the names of layers.
        dtype: name of its dtype in NumPy.
        shape: the batch counts as 1.
        scales: of the quantization: none, one, or one for each channel.
        zero_point: of the quantization.
        is_constant: whether its values stand in the file.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_point: int
    is_constant: bool


@dataclasses.dataclass(frozen=True)
class TFLiteOperation:
    """An operation of the file.

    Attributes:
        name: as in TFLite's schema, e.g. "CONV_2D".
        inputs: numbers of tensors.
        outputs: numbers of tensors.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class TFLiteGraph:
    """The main graph of a TFLite file.

    Attributes:
        operations: in order of computation.
        tensors: by number.
        inputs: numbers of the tensors that go in.
        outputs: numbers of the tensors that come out.
    """

    operations: tuple[TFLiteOperation, ...]
    tensors: tuple[TFLiteTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def float_operations(self) -> list[TFLiteOperation]:
        """Those that compute in float32."""
        return [
            operation
            for operation in self.operations
            if operation.name not in CONVERSIONS
            and any(
                self.tensors[i].dtype.startswith("float") for i in operation.outputs
            )
        ]

    def inner_float_tensors(self) -> list[TFLiteTensor]:
        """Float tensors that are neither inputs nor outputs of the file."""
        ends = {*self.inputs, *self.outputs}
        return [
            tensor
            for tensor in self.tensors
            if tensor.dtype.startswith("float") and tensor.index not in ends
        ]


def read_file(content: bytes, where: str) -> TFLiteGraph:
    """Reads a TFLite file.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(content, (bytes, bytearray)) or content[4:8] != b"TFL3":
        raise ArgumentError(
            f"{where}: no content of a TFLite file: {content[:16]!r}...\n"
            "  Fix: the bytes of a .tflite file, or its path."
        )
    schema = _schema()
    model = schema.Model.GetRootAs(bytes(content), 0)
    graph = model.Subgraphs(0)
    operators = _names(schema.BuiltinOperator)
    codes = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        codes.append(operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())])
    return TFLiteGraph(
        tuple(
            TFLiteOperation(
                codes[o.OpcodeIndex()],
                _numbers(o.Inputs, o.InputsLength()),
                _numbers(o.Outputs, o.OutputsLength()),
            )
            for o in map(graph.Operators, range(graph.OperatorsLength()))
        ),
        tuple(
            _tensor(model, i, graph.Tensors(i)) for i in range(graph.TensorsLength())
        ),
        _numbers(graph.Inputs, graph.InputsLength()),
        _numbers(graph.Outputs, graph.OutputsLength()),
    )


def _tensor(model, index: int, tensor) -> TFLiteTensor:
    quantization = tensor.Quantization()
    scales, zero_point = (), 0
    if quantization is not None and quantization.ScaleLength():
        scales = tuple(np.atleast_1d(quantization.ScaleAsNumpy()).tolist())
        if quantization.ZeroPointLength():
            zero_point = int(quantization.ZeroPoint(0))
    return TFLiteTensor(
        index,
        (tensor.Name() or b"").decode(),
        _names(_schema().TensorType)[tensor.Type()].lower(),
        _numbers(tensor.Shape, tensor.ShapeLength()),
        scales,
        zero_point,
        model.Buffers(tensor.Buffer()).DataLength() > 0,
    )


def _numbers(read_one, length: int) -> tuple[int, ...]:
    return tuple(int(read_one(i)) for i in range(length))


@functools.cache
def _names(enumeration) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if not name.startswith("_")
    }


def _schema():
    """The classes that read the format, from ai-edge-litert or TensorFlow."""
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert import schema_py_generated
    else:
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated
