"""`QuantizeConfig`: which tensors of a layer are quantized, and by what."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError, QuantizerError
from larqlite.graph import locate, resolve
from larqlite.qat import quantizers

__all__ = ["LayerQuantizeConfig", "NoOpQuantizeConfig", "QuantizeConfig"]

Layer = tf_keras.layers.Layer

# Where the quantizer of an activation function stands.
PLACES = ("before", "after", "both")


class QuantizeConfig(abc.ABC):
    """Says which weights, activations and outputs of a layer are quantized, and by what.

    Write the three methods `get_weights_and_quantizers`,
    `get_activations_and_quantizers` and `get_output_quantizers`; None counts as nothing.
    The others have defaults. A quantizer is a `qat.quantizers.Quantizer`, or any
    quantizer of larqlite by name or as an object.

    Example:
        >>> class FourBitKernel(lq.qat.QuantizeConfig):
        ...     def get_weights_and_quantizers(self, layer):
        ...         return [(layer.kernel, lq.qat.quantizers.LastValueQuantizer(num_bits=4))]
        ...     def get_activations_and_quantizers(self, layer):
        ...         return []
        ...     def get_output_quantizers(self, layer):
        ...         return []
        >>> dense = tf_keras.layers.Dense(8, input_shape=(4,))
        >>> annotated = tf_keras.Sequential(
        ...     [lq.qat.quantize_annotate_layer(dense, FourBitKernel())])
        >>> model = lq.qat.quantize_apply(annotated)
        >>> model.layers[-1].layer.kernel.precision
        4
    """

    @abc.abstractmethod
    def get_weights_and_quantizers(self, layer: Layer) -> Sequence[tuple[Any, Any]]:
        """Pairs `(variable of the layer, quantizer)`; called once, when it is built."""

    @abc.abstractmethod
    def get_activations_and_quantizers(self, layer: Layer) -> Sequence[tuple[Any, Any]]:
        """Pairs `(activation function of the layer, quantizer)`."""

    @abc.abstractmethod
    def get_output_quantizers(self, layer: Layer) -> Sequence[Any]:
        """Quantizers of the outputs; the last one serves all that follow."""

    def get_input_quantizers(self, layer: Layer) -> Sequence[Any]:
        """Quantizers of the inputs, which other systems do not have; none by default."""
        return []

    def get_activation_places(self, layer: Layer) -> Sequence[str | None]:
        """Where the quantizers of the activations stand, in the order of their getter.

        "before" the function, "after" it, or "both"; None, and by default, what
        integer engines have for a function of its name.
        """
        return []

    def set_quantize_weights(self, layer: Layer, quantize_weights: Sequence) -> None:
        """Puts values in the places of the weights, in the order of the getter.

        By default the attribute that holds the weight is found by identity.
        """
        pairs = self.get_weights_and_quantizers(layer) or ()
        self._set(layer, pairs, quantize_weights)

    def set_quantize_activations(
        self, layer: Layer, quantize_activations: Sequence
    ) -> None:
        """Puts functions in the places of the activations, in the order of the getter."""
        pairs = self.get_activations_and_quantizers(layer) or ()
        self._set(layer, pairs, quantize_activations)

    def _set(self, layer: Layer, pairs: Sequence, values: Sequence) -> None:
        if len(pairs) != len(values):
            raise ArgumentError(
                f'{type(self).__name__}: {len(values)} values for "{layer.name}", whose '
                f"quantize config names {len(pairs)}.\n"
                "  Fix: one value for each pair that the getter returns."
            )
        for (held, _), value in zip(pairs, values, strict=True):
            owner, name = locate(layer, held)
            setattr(owner, name, value)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for files; none by default."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> QuantizeConfig:
        """The config that `get_config` described."""
        return cls(**config)

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    __hash__ = object.__hash__


def asked(config: QuantizeConfig, method: str, layer: Layer) -> list:
    """What a getter of a config returns for a layer, as a list: None is an empty one.

    Raises:
        QuantizerError: it returns something else than a sequence, or, of weights and
            activations, of pairs.
    """
    found = getattr(config, method)(layer)
    if found is None:
        return []
    pairs = method in ("get_weights_and_quantizers", "get_activations_and_quantizers")
    is_list = isinstance(found, Sequence) and not isinstance(found, (str, bytes))
    if not is_list or (pairs and any(not _is_pair(item) for item in found)):
        what = "pairs (what is quantized, quantizer)" if pairs else "quantizers"
        raise QuantizerError(
            f'{type(config).__name__}.{method} of "{layer.name}" returned {found!r}, '
            f"which is no list of {what}.\n  Fix: return a list; [] for nothing."
        )
    if pairs and any(quantizer is None for _, quantizer in found):
        raise QuantizerError(
            f'{type(config).__name__}.{method} of "{layer.name}" names no quantizer, but '
            "None, for one of its pairs.\n  Fix: leave the pair out."
        )
    return [item for item in found if item is not None]


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


@register_object(bare=False)
class NoOpQuantizeConfig(QuantizeConfig):
    """Quantizes nothing: the layer keeps its numbers, and counts as looked after.

    Args:
        reason: why, for `qat.report`.

    Example:
        >>> lq.qat.NoOpQuantizeConfig().get_output_quantizers(tf_keras.layers.ReLU())
        []
    """

    def __init__(self, reason: str = ""):
        self.reason = reason

    def get_weights_and_quantizers(self, layer):
        return []

    def get_activations_and_quantizers(self, layer):
        return []

    def get_output_quantizers(self, layer):
        return []

    def get_config(self) -> dict:
        return {"reason": self.reason} if self.reason else {}


@register_object(bare=False)
class LayerQuantizeConfig(QuantizeConfig):
    """A `QuantizeConfig` as data: names of attributes, each with its quantizer.

    Args:
        weights: quantizer by attribute of the layer, as `{"kernel": "ste_sign"}`. A
            dotted path leads into parts of it: an attribute (`"cell.kernel"`) or the
            name of a layer inside (`"query.kernel"`).
        activations: quantizer by attribute, as `{"activation": "dorefa"}`.
        outputs: the quantizer of the outputs, or None.
        inputs: the quantizer of the inputs, or None.
        reason: a remark for `qat.report`.
        places: where the quantizer of an activation stands, by attribute: "before" the
            function, "after" it, or "both"; what its name asks for where nothing is said.

    Raises:
        UnknownQuantizerError: a name that no quantizer has.
        ArgumentError: a place that is none of these.

    Example:
        >>> config = lq.qat.LayerQuantizeConfig(
        ...     weights={"kernel": "ste_tern"}, inputs="ste_sign")
        >>> dense = tf_keras.layers.Dense(8, name="dense")
        >>> wrapped = lq.qat.QuantizeWrapper(dense, config)
        >>> wrapped.build((None, 4))
        >>> dense.kernel.precision
        2
    """

    def __init__(
        self,
        weights: Mapping[str, Any] | None = None,
        activations: Mapping[str, Any] | None = None,
        outputs: Any = None,
        inputs: Any = None,
        reason: str = "",
        places: Mapping[str, str] | None = None,
    ):
        self.weights = {k: quantizers.get(q) for k, q in (weights or {}).items()}
        self.activations = {
            k: quantizers.get(q) for k, q in (activations or {}).items()
        }
        self.outputs = quantizers.get(outputs)
        self.inputs = quantizers.get(inputs)
        self.reason = reason
        self.places = dict(places or {})
        for path, place in self.places.items():
            if place not in PLACES:
                raise ArgumentError(
                    f'LayerQuantizeConfig: places["{path}"] is {place!r}.\n'
                    f"  Fix: one of {', '.join(map(repr, PLACES))}."
                )

    def get_weights_and_quantizers(self, layer):
        return [
            (weight, quantizer)
            for path, quantizer in self.weights.items()
            if (weight := _held(layer, path)) is not None
        ]

    def get_activations_and_quantizers(self, layer):
        return [
            (_held(layer, path), quantizer)
            for path, quantizer in self.activations.items()
        ]

    def get_output_quantizers(self, layer):
        return [] if self.outputs is None else [self.outputs]

    def get_input_quantizers(self, layer):
        return [] if self.inputs is None else [self.inputs]

    def get_activation_places(self, layer):
        return [self.places.get(path) for path in self.activations]

    def set_quantize_activations(self, layer, quantize_activations):
        for path, function in zip(self.activations, quantize_activations, strict=True):
            owner, name = resolve(layer, path)
            setattr(owner, name, function)

    def without(self, *parts: str, reason: str = "") -> LayerQuantizeConfig:
        """The same without `"activations"`, `"outputs"`, `"inputs"` or `"weights"`.

        Example:
            >>> config = lq.qat.LayerQuantizeConfig({"kernel": "ste_sign"}, outputs="dorefa")
            >>> config.without("outputs").get_output_quantizers(None)
            []
        """
        kept = {
            part: None if part in parts else getattr(self, part)
            for part in ("weights", "activations", "outputs", "inputs")
        }
        places = {} if "activations" in parts else self.places
        return LayerQuantizeConfig(**kept, reason=reason or self.reason, places=places)

    def only_before(self) -> LayerQuantizeConfig:
        """The same with no activation quantized after its function.

        Those that stand on both sides stay before it, the others go.
        """
        before = [path for path, place in self.places.items() if place != "after"]
        config = self.without("activations")
        config.activations = {path: self.activations[path] for path in before}
        config.places = dict.fromkeys(before, "before")
        return config

    def get_config(self) -> dict:
        serialized = tf_keras.saving.serialize_keras_object
        config = {
            "weights": {k: serialized(q) for k, q in self.weights.items()},
            "activations": {k: serialized(q) for k, q in self.activations.items()},
            "outputs": None if self.outputs is None else serialized(self.outputs),
            "inputs": None if self.inputs is None else serialized(self.inputs),
            "reason": self.reason,
            "places": self.places,
        }
        return {key: value for key, value in config.items() if value}


def _held(layer: Layer, path: str) -> Any:
    owner, name = resolve(layer, path)
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise QuantizerError(
            f'{type(layer).__name__} "{layer.name}" has no attribute {path!r} to '
            "quantize.\n  Fix: name an attribute that it has, e.g. "
            f"{sorted(n for n in vars(layer) if not n.startswith('_'))[:8]}."
        ) from error
