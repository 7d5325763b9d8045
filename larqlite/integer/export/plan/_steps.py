"""An integer model as steps on real numbers, each of them a whole multiple of a scale.

A step may take another scale than that of the integer model: the kernel before it takes up
what is left. So the quantized scales that a requantization multiplies with become those of
the kernel, a `Rescaling` needs no operation, and channels that have fractional bits of
their own share one scale.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from larqlite.integer.export._integers import Integers


class StepOp(enum.Enum):
    """What a step computes."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    TRANSPOSED = "transposed"
    DENSE = "dense"
    RELU = "relu"
    FUNCTION = "function"  # of each number, another than a ReLU
    MAX_POOL = "max_pool"
    MEAN = "mean"
    AVERAGE_POOL = "average_pool"
    ADD = "add"
    MULTIPLY = "multiply"
    CONCAT = "concat"
    RESHAPE = "reshape"
    PERMUTE = "permute"
    UPSAMPLE = "upsample"
    QUANTIZE = "quantize"
    SCALE = "scale"  # times a vector
    SAME = "same"  # nothing; there until the plan is complete
    FLOAT = "float"  # a Keras layer


# Steps that a scale passes backward, and what it is multiplied with there.
_PASSING = (StepOp.SAME, StepOp.RELU, StepOp.MAX_POOL, StepOp.MEAN, StepOp.AVERAGE_POOL)


@dataclasses.dataclass(eq=False)
class ExportTensor:
    """What a step gives out.

    Attributes:
        shape: as in Keras.
        scale: the number that the integer 1 is here, one or one for each channel.
        real: the number that it stands for in the integer model.
        step: that made it.
        uses: how many steps and outputs take it.
        readers: how many layers of the model take it, those to come included.
        integers: the same tensor as integers with bounds and quantization parameters.
    """

    shape: tuple
    scale: np.ndarray
    real: np.ndarray | None = None
    step: ExportStep | None = None
    uses: int = 0
    readers: int = 0
    integers: Integers | None = None


@dataclasses.dataclass(eq=False)
class ExportStep:
    """One operation.

    Attributes:
        op: what it computes.
        path: of the layer.
        layer: the Keras layer.
        inputs: what it takes.
        data: kernel, bias, bounds and the like.
    """

    op: StepOp
    path: str
    layer: Any
    inputs: list[ExportTensor]
    output: ExportTensor | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


class StepForms:
    """The functions that write each operation of complete plans in one kind of file.

    Args:
        name: of the kind of file, for the message.
        refused: operations of which no plan for such a file has one.
    """

    def __init__(self, name: str, refused: Collection[StepOp] = ()):
        self.name = name
        self._wanted = set(StepOp) - {StepOp.SAME, *refused}
        self._functions: dict[StepOp, Callable] = {}

    def of(self, op: StepOp) -> Callable:
        """Decorator: the function writes steps of this operation."""

        def decorator(function: Callable) -> Callable:
            self._functions[op] = function
            return function

        return decorator

    def require_complete(self) -> None:
        """Asserts, where the last function is defined, that every operation has one.

        Raises:
            LookupError: which has none.
        """
        missing = self._wanted - set(self._functions)
        if missing:
            names = ", ".join(sorted(op.name for op in missing))
            raise LookupError(
                f"{self.name}: no function writes the steps {names}.\n"
                "  Fix: one with the decorator `of`, or name them in `refused`."
            )

    def __getitem__(self, op: StepOp) -> Callable:
        return self._functions[op]


@dataclasses.dataclass
class ExportPlan:
    """The steps of a model in order.

    Attributes:
        name: of the model.
        inputs: by name.
        outputs: by name.
        steps: in order.
        ends: smallest and largest integer of each input.
    """

    name: str
    inputs: dict[str, ExportTensor] = dataclasses.field(default_factory=dict)
    outputs: dict[str, ExportTensor] = dataclasses.field(default_factory=dict)
    steps: list[ExportStep] = dataclasses.field(default_factory=list)
    ends: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def add(self, step: ExportStep, shape, scale) -> ExportTensor:
        """Appends a step, and gives back its output."""
        for tensor in step.inputs:
            tensor.uses += 1
        step.output = ExportTensor(
            tuple(shape), np.asarray(scale, np.float64), step=step
        )
        self.steps.append(step)
        return step.output


def asked_for(tensor: ExportTensor, scale: np.ndarray) -> bool:
    """Gives a tensor that no other layer takes another scale, by the kernel before it.

    What another layer takes, now or later, keeps its scale: that layer counts on it.

    Returns:
        Whether there is a kernel that could take it up.
    """
    chain = []
    while True:
        chain.append((tensor, scale))
        step = tensor.step
        if step is None or tensor.uses > 1 or tensor.readers > 1:
            return False
        if step.op in (StepOp.CONV, StepOp.DEPTHWISE, StepOp.TRANSPOSED, StepOp.DENSE):
            break
        if step.op not in _PASSING:
            return False
        if step.op in (StepOp.MEAN, StepOp.AVERAGE_POOL):
            scale = scale * step.data["count"]
        tensor = step.inputs[0]
    for tensor, scale in chain:
        tensor.scale = np.broadcast_to(scale, np.shape(scale))
    return True


def kernel_scales(step: ExportStep) -> np.ndarray:
    """The scale of a kernel, float64: one for each output channel.

    The value of an output is its integer times its scale, and that of an input likewise,
    so the scale of the kernel is the quotient of both.
    """
    source = np.asarray(step.inputs[0].scale)
    if step.op == StepOp.DEPTHWISE and source.ndim:
        source = np.repeat(source, step.data["kernel"].shape[-1])
    elif source.ndim:
        # The integers were shifted to the finest of these scales.
        source = source.min()
    return np.broadcast_to(step.output.scale / source, (step.output.shape[-1],))
