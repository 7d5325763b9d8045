"""What is true of a layer class: one record, which all packages ask in place of own lists.

`_known_layers.py` has the records of Keras' and larqlite's classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tf_keras

from larqlite._registry import Registry
from larqlite.errors import ArgumentError
from larqlite.graph._operators import KEEPING_VALUES

Layer = tf_keras.layers.Layer

# Each of them has what the ones before it have.
VALUES = ("computed", "between", "picked", "moved", "reshaped")
POOLINGS = ("", "max", "mean", "global max", "global mean")
ACTIVATIONS = ("", "fused", "other")
MERGES = (
    *("", "add", "subtract", "multiply", "average", "maximum", "minimum"),
    *("concatenate", "dot"),
)

# What a layer computes is in these methods: a subclass that has one of its own computes
# something else.
METHODS = (
    "call",
    "call_on_quantized",
    "convolution_op",
    "padded",
    "finished",
    "__call__",
)


@dataclasses.dataclass(frozen=True)
class KernelAxes:
    """A weight that a layer multiplies its input with, and what its axes are.

    Axes of channels are counted from the end; those before them are spatial.

    Attributes:
        name: the attribute of the layer that holds the kernel.
        channels_out: the axes that together are the channels that come out; none if they
            differ from layer to layer, as the equation of an `EinsumDense` says.
        channels_in: the axis of the channels that go in; none likewise.
        spatial: how many axes are spatial: the first ones.
        is_transposed: whether each input is spread over outputs, as in a
            `Conv2DTranspose`, in place of each output being gathered from inputs.

    Example:
        >>> lq.models.KernelAxes("kernel", spatial=2).summed
        (0, 1, -2)
    """

    name: str
    channels_out: tuple[int, ...] = (-1,)
    channels_in: tuple[int, ...] = (-2,)
    spatial: int = 0
    is_transposed: bool = False

    @property
    def summed(self) -> tuple[int, ...]:
        """The axes that are added up to one output."""
        inside = (axis for axis in self.channels_in if axis not in self.channels_out)
        return (*range(self.spatial), *inside)


@dataclasses.dataclass(frozen=True)
class LayerFacts:
    """What is true of a layer in inference; what is not said is not known to be true.

    Attributes:
        kernels: its kernels, in the order in which they are applied.
        values: what comes out of the numbers that go in, one of "computed": any others;
            "between": none beyond the largest and smallest, 0 among them; "picked": some
            of them, which ones depends on them, as in a maximum; "moved": some of them,
            always from the same places; "reshaped": all of them, in the same order.
        is_monotone: whether no output falls where an input rises.
        pads_zeros: whether zeros are put around what goes in.
        pooling: "max", "mean", "global max" or "global mean" for a pooling.
        merge: "add", "subtract", "multiply", "average", "maximum", "minimum",
            "concatenate" or "dot" for a layer of several inputs.
        activation: "fused" for an activation function that integer engines compute with
            the layer before it, "other" for another one.
        is_batch_normalization: whether it scales and shifts channels by `gamma`, `beta`,
            `moving_mean` and `moving_variance`.
        does_nothing_in_inference: whether what goes in comes out: it trains a model only.

    Raises:
        ArgumentError: a word that is none of those.

    Example:
        >>> facts = lq.models.LayerFacts(values="moved", is_monotone=True)
        >>> facts.keeps_values, facts.keeps_order
        (True, False)
    """

    kernels: tuple[KernelAxes, ...] = ()
    values: str = "computed"
    is_monotone: bool = False
    pads_zeros: bool = False
    pooling: str = ""
    merge: str = ""
    activation: str = ""
    is_batch_normalization: bool = False
    does_nothing_in_inference: bool = False

    def __post_init__(self) -> None:
        if self.does_nothing_in_inference:
            object.__setattr__(self, "values", "reshaped")
            object.__setattr__(self, "is_monotone", True)
        words = {
            "values": VALUES,
            "pooling": POOLINGS,
            "merge": MERGES,
            "activation": ACTIVATIONS,
        }
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"lq.models.LayerFacts: {name}={getattr(self, name)!r}.\n"
                    f"  Fix: one of {', '.join(map(repr, known))}."
                )

    @property
    def keeps_range(self) -> bool:
        """Whether nothing comes out that is beyond what went in, and 0."""
        return self.values != "computed"

    @property
    def keeps_values(self) -> bool:
        """Whether all that comes out went in."""
        return self.values in ("picked", "moved", "reshaped")

    @property
    def moves_values(self) -> bool:
        """Whether it only moves values: what comes out went in, always at the same place."""
        return self.values in ("moved", "reshaped")

    @property
    def keeps_order(self) -> bool:
        """Whether the same numbers come out in the same order."""
        return self.values == "reshaped"

    @property
    def keeps_signs(self) -> bool:
        """Whether a sign, or any other steps that rise, may go before it or after it."""
        return self.keeps_values and self.is_monotone and not self.merge

    @property
    def kernel(self) -> KernelAxes | None:
        """The only kernel, if its axes are known."""
        one = self.kernels[0] if len(self.kernels) == 1 else None
        return one if one is not None and one.channels_out else None


UNKNOWN = LayerFacts()

# The records by class; a function of the layer makes those that depend on its arguments.
FACTS: dict[type, LayerFacts | Callable[[Layer], LayerFacts]] = Registry()


def add_layer_facts(
    cls: type[Layer], facts: LayerFacts | Callable[[Layer], LayerFacts]
) -> None:
    """Teaches larqlite what is true of a layer class of your own.

    `summary`, `deploy.export`, quantization-aware training and `integer.quantize` ask it:
    a layer that does nothing in inference leaves exported and integer models, one that
    keeps values keeps the precision of its input, a kernel takes over the batch
    normalization that follows. How the layer is written or quantized is a table of each
    of them: `lq.deploy.converter`, `lq.qat.add_rule`.

    Args:
        cls: the class. Subclasses that compute with a `call` of their own are not
            included.
        facts: the record, or a function that makes it from the layer.

    Raises:
        ArgumentError: `cls` is no class of tf_keras layers, or `facts` no record.

    Example:
        >>> class Jitter(tf_keras.layers.Layer):
        ...     def call(self, x, training=None):
        ...         return x + tf.random.normal(tf.shape(x)) if training else x
        >>> lq.models.add_layer_facts(
        ...     Jitter, lq.models.LayerFacts(does_nothing_in_inference=True))
        >>> model = tf_keras.Sequential([Jitter(input_shape=(5,))])
        >>> lq.models.profile(model).macs
        0
    """
    if not isinstance(cls, type) or not issubclass(cls, Layer):
        raise ArgumentError(
            f"lq.models.add_layer_facts: {cls!r} is not a class of tf_keras layers.\n"
            "  Fix: pass the class itself, e.g. "
            "lq.models.add_layer_facts(MyLayer, lq.models.LayerFacts(...))."
        )
    if not isinstance(facts, LayerFacts) and not callable(facts):
        raise ArgumentError(
            f"lq.models.add_layer_facts: {facts!r} is no lq.models.LayerFacts.\n"
            '  Fix: e.g. lq.models.LayerFacts(values="moved").'
        )
    FACTS[cls] = facts


def facts_of(layer: Layer, methods: tuple[str, ...] = METHODS) -> LayerFacts:
    """The record of a layer; one that claims nothing for a class that is not known.

    A subclass has the record of its base, unless it overrides what that one computes.
    A TensorFlow function used as a layer has one by its name.

    Args:
        layer: the layer.
        methods: those that compute what the fact is about.
    """
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        is_keeping = symbol.rpartition(".")[2] in KEEPING_VALUES
        return LayerFacts(values="picked") if is_keeping else UNKNOWN
    known = class_with_facts(type(layer), methods)
    if known is None:
        return UNKNOWN
    facts = FACTS[known]
    return facts if isinstance(facts, LayerFacts) else facts(layer)


def class_with_facts(cls: type, methods: tuple[str, ...] = METHODS) -> type | None:
    """The class whose record holds for a class, or None."""
    for known in cls.__mro__:
        if known in FACTS:
            return known if first_override(cls, known, methods) is None else None
    return None


def classes_where(condition: Callable[[LayerFacts], bool]) -> tuple[type, ...]:
    """The classes of Keras itself for which a condition holds, whatever their arguments;
    in the order of their names, which is the same in every process."""
    found = (
        cls
        for cls, facts in FACTS.items()
        if cls.__module__.startswith("tf_keras.")
        and isinstance(facts, LayerFacts)
        and condition(facts)
    )
    return tuple(sorted(found, key=lambda cls: cls.__name__))


def first_override(cls: type, known: type, methods: tuple[str, ...]) -> str | None:
    """The first of those methods that a class has not in common with a base class."""
    for name in methods:
        if getattr(cls, name, None) is not getattr(known, name, None):
            return name
    return None
