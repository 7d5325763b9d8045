"""What quantization-aware layers compute in inference, for those who write it elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.layers import QuantLayer
from larqlite.primitives import levels_of
from larqlite.qat import _quantized_views
from larqlite.qat.lowerings import has_range, range_of
from larqlite.qat.passes import QUANT_CLASS
from larqlite.qat.quantizers import (
    AllValuesQuantizer,
    MovingAverageQuantizer,
    NamedQuantizer,
)
from larqlite.qat.wrapper import (
    CallPhase,
    QuantizedActivation,
    QuantizeLayer,
    QuantizeWrapperV2,
    has_own_setter,
    observing,
)
from larqlite.quantizers import NoOp

__all__ = [
    "QuantizedActivation",
    "Rounding",
    "QuantTwin",
    "layer_inside",
    "observed",
    "quant_twin",
    "quantizer_by_name",
    "reading_quantized",
    "require_range",
    "rounding_of",
    "value_quantizers",
]


@dataclasses.dataclass(frozen=True)
class Rounding:
    r"""The arithmetic of fake quantization, to the last bit of TensorFlow's operations.

    $$ q(x) = \lfloor (\mathrm{clip}(x, a, b) - a) u - z + 1/2 \rfloor s $$

    where "times $u$" is "divided by $s$" if there is one range for all values. All are
    float32: scalars, or vectors along the last axis.

    Attributes:
        lowest, highest: $a$ and $b$.
        zero: $z$, a whole number.
        step: $s$.
        per_unit: $u$, or None where it is a division.
        bits: of a value; with one bit the values are minus and plus `step`.
    """

    lowest: np.ndarray
    highest: np.ndarray
    zero: np.ndarray
    step: np.ndarray
    per_unit: np.ndarray | None
    bits: int


def rounding_of(quantizer: Any, variables: dict) -> Rounding | None:
    """The arithmetic of a quantizer with a range as it is now; None for any other.

    Args:
        quantizer: a quantizer of `lq.qat.quantizers`.
        variables: what its `build` returned.

    Example:
        >>> from larqlite.qat.inference import rounding_of
        >>> rounding = rounding_of(lq.qat.quantizers.FixedQuantizer(2, 0.0, 3.0), {})
        >>> float(rounding.step), float(rounding.highest)
        (1.0, 3.0)
    """
    if not has_range(quantizer):
        return None
    bits = quantizer.num_bits
    low, high = range_of(quantizer, variables)
    if bits == 1:
        high = high.numpy()
        return Rounding(-high, high, np.zeros_like(high), high, None, 1)
    levels = levels_of(low, high, bits, quantizer.narrow_range)
    lowest, highest, zero, step, per_unit, _ = (np.asarray(part) for part in levels)
    return Rounding(
        lowest, highest, zero, step, per_unit if low.shape.rank else None, bits
    )


def value_quantizers(layer: Any) -> list[tuple[str, Any, dict]]:
    """`(what for, quantizer, its variables)` of what a layer quantizes beside its weights.

    In the order of use.
    """
    if isinstance(layer, QuantizeLayer):
        pair = ("output", layer.quantizer, layer.quantizer_vars)
        return [] if layer.quantizer is None else [pair]
    return layer.value_quantizers if isinstance(layer, QuantizeWrapperV2) else []


def require_range(
    name: str, role: str, quantizer: Any, variables: dict, where: str
) -> None:
    """Raises if the range of a tensor is that of a model that was just made.

    Raises:
        ArgumentError: neither data nor training have set it.
    """
    minimum, maximum = (
        float(np.min(end)) + 0.0
        for end in range_of(quantizer, variables)  # no -0
    )
    unset = {AllValuesQuantizer: (0.0, 0.0), MovingAverageQuantizer: (-6.0, 6.0)}
    if (minimum, maximum) == unset.get(type(quantizer)):
        raise ArgumentError(
            f'{where}: the range of the {role} of "{name}" is not set yet: it is '
            f"still [{minimum:g}, {maximum:g}].\n"
            "  Fix: lq.qat.calibrate(model, data), or train the model first."
        )


def quantizer_by_name(quantizer: Any, variables: dict) -> Any:
    """The quantizer of `lq.quantizers` that one of a config stands for, or None."""
    if isinstance(quantizer, NamedQuantizer):
        return (variables or {}).get("quantizer", quantizer.quantizer)
    return None


def layer_inside(layer: Any) -> Any:
    """The layer that a wrapper which quantizes nothing stands for; else the layer itself."""
    if isinstance(layer, QuantizeWrapperV2) and not layer.quantizes:
        return layer.layer
    return layer


def observed(layer: Any, call: Callable[[], Any]) -> tuple[Any, list]:
    """What a layer gives out, and what it quantizes on the way.

    Args:
        layer: any layer.
        call: calls it, in inference.

    Returns:
        Its outputs; and for each of its `value_quantizers` `(what for, quantizer, tensor
        before, tensor after)`.
    """
    found: dict[int, tuple] = {}

    def observe(variables, before, after):
        found[id(variables)] = before, after

    with observing(observe):
        outputs = call()
    return outputs, [
        (role, _Quantizing(quantizer, variables), *found[id(variables)])
        for role, quantizer, variables in value_quantizers(layer)
        if id(variables) in found
    ]


@dataclasses.dataclass(frozen=True)
class _Quantizing:
    """A quantizer with its variables, as a function of a tensor."""

    quantizer: Any
    variables: dict

    def __call__(self, inputs):
        return CallPhase().quantize(self.quantizer, inputs, self.variables)


@dataclasses.dataclass(frozen=True)
class QuantTwin:
    """A layer of `lq.layers` that computes what the layer inside of a wrapper does.

    Attributes:
        layer: the layer, with the weights of now.
        takes_input: whether the wrapper's input quantizer is the layer's own.
    """

    layer: QuantLayer
    takes_input: bool


_twins: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def quant_twin(wrapper: Any, reads_integers: bool = False) -> QuantTwin | None:
    """The layer of `lq.layers` that a wrapped layer stands for, or None.

    That is the layer inside if it is one; or one that quantizes the kernels of a Keras
    layer, and maybe its input, by the same quantizers of `lq.quantizers`; or, where the
    kernels are rounded to ranges, one whose kernels are the rounded values.

    Args:
        wrapper: around the layer.
        reads_integers: whether what comes in is whole numbers times a step; only then is
            there anything to gain of a layer whose kernels are rounded to ranges.
    """
    if not isinstance(wrapper, QuantizeWrapperV2):
        return None
    inner = wrapper.layer
    if isinstance(inner, QuantLayer):
        return None if wrapper.weight_slots else QuantTwin(inner, takes_input=False)
    quant_class = QUANT_CLASS.get(type(inner))
    if quant_class is None or has_own_setter(wrapper.quantize_config):
        return None
    if not wrapper.weight_slots:
        return None
    slots = {id(weight): (q, v) for weight, q, v, _ in wrapper.weight_slots}
    kernels = {name: getattr(inner, name) for name in quant_class.quantized_weights}
    if {id(weight) for weight in kernels.values()} != set(slots):
        return None
    named = {name: quantizer_by_name(*slots[id(w)]) for name, w in kernels.items()}
    if None not in named.values():
        inputs = [q for q in wrapper.value_quantizers if q[0] == "input"]
        own = quantizer_by_name(*inputs[0][1:]) if len(inputs) == 1 else None
        values = {name: weight.latent_variable for name, weight in kernels.items()}
    elif reads_integers and not any(named.values()):
        named = {name: _of_rounded(*slots[id(w)]) for name, w in kernels.items()}
        if None in named.values():
            return None
        own = None
        with reading_quantized(wrapper):
            values = {name: np.asarray(getattr(inner, name)) for name in kernels}
    else:
        return None
    if wrapper not in _twins:
        _twins[wrapper] = _new_twin(wrapper, quant_class, named, own)
    twin = _twins[wrapper]
    if inner.use_bias:
        values["bias"] = inner.bias
    for name, value in values.items():
        getattr(twin, name).assign(value)
    return QuantTwin(twin, takes_input=own is not None)


def _of_rounded(quantizer: Any, variables: dict) -> NoOp | None:
    """The quantizer of a kernel that holds rounded values already; None if its steps are
    not known."""
    rounding = rounding_of(quantizer, variables)
    return None if rounding is None else NoOp(precision=rounding.bits)


def _new_twin(wrapper, quant_class, quantizer_of: dict, own: Any) -> QuantLayer:
    inner = wrapper.layer
    config = {**inner.get_config(), "name": wrapper.name, "activation": None}
    config.pop("batch_input_shape", None)
    twin = quant_class.from_config(config)
    with _quantized_views.viewed_variables():
        twin.build(wrapper.get_input_shape_at(0))
    twin.built = True
    for name, role in quant_class.quantized_weights.items():
        setattr(twin, role, quantizer_of[name])
        getattr(twin, name).read_through(quantizer_of[name])
    twin.input_quantizer = own
    twin.activation = inner.activation
    return twin


@contextlib.contextmanager
def reading_quantized(wrapper: QuantizeWrapperV2) -> Iterator[None]:
    """Within the block the weights of the layer inside read as they do in inference."""
    with _quantized_views.reading(wrapper.readings(CallPhase())):
        yield
