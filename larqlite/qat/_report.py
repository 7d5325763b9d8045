"""`report(model)`: what of a quantization-aware model is quantized, and why the rest is not.

And what such layers cost, for the summary: the layer inside, at the bits it computes with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import tf_keras

from larqlite._copies import is_table
from larqlite._tables import print_tables
from larqlite.graph import (
    JOINING,
    KEEPING_VALUES,
    LayerFacts,
    LayerGraph,
    LayerUse,
    add_layer_facts,
    facts_of,
    require_model,
)
from larqlite.layers import QuantLayer
from larqlite.models import Call
from larqlite.models.internal import (
    KINDS,
    Product,
    declared_precision,
    formula_for,
    no_macs,
    weight_bits,
)
from larqlite.qat._annotate import QuantizeAnnotate
from larqlite.qat.schemes import rule_for
from larqlite.qat.wrapper import BEFORE, QuantizeLayer, QuantizeWrapperV2, name_of
from larqlite.quantizers import Quantizer
from larqlite_runtime.notebook import ShownTable, ShowsTables

__all__ = ["LayerReport", "ModelReport", "report"]

Layer = tf_keras.layers.Layer
FULL = 32
_AFTER = "output quantized after"


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What became of one layer.

    Attributes:
        path: its name with those of the models around it.
        class_name: its class, without wrappers.
        status: "quantized"; "fused": another layer quantizes its output; "skipped".
        weights: bits by name of the weight, without biases.
        biases: bits by name of the bias.
        activations: bits by name of the activation function, 32 if not quantized.
        inputs: bits that the layer itself makes of its inputs, or None.
        outputs: bits of what comes out, or None if this layer does not quantize it.
        reason: why it is fused or skipped, or a remark.
    """

    path: str
    class_name: str
    status: str
    weights: dict[str, int]
    biases: dict[str, int]
    activations: dict[str, int]
    inputs: int | None
    outputs: int | None
    reason: str


@dataclasses.dataclass(frozen=True, repr=False)
class ModelReport(ShowsTables):
    """What of a model is quantized.

    Attributes:
        name: the model's name.
        layers: one report for each layer, nested models unfolded.
        warnings: what usually harms accuracy.
    """

    name: str
    layers: tuple[LayerReport, ...]
    warnings: tuple[str, ...] = ()

    def layer(self, path: str) -> LayerReport:
        """The report of the layer at a path.

        Raises:
            KeyError: there is none; the message lists the paths.
        """
        for layer in self.layers:
            if layer.path == path:
                return layer
        known = ", ".join(layer.path for layer in self.layers)
        raise KeyError(f'"{self.name}" has no layer "{path}"; it has: {known}')

    def with_status(self, status: str) -> tuple[str, ...]:
        """Paths of the layers that are "quantized", "fused" or "skipped"."""
        return tuple(layer.path for layer in self.layers if layer.status == status)

    def to_dict(self) -> dict[str, Any]:
        """This report in types that JSON knows."""
        return dataclasses.asdict(self)

    print = print_tables

    def _shown(self) -> list[ShownTable]:
        header = ("Layer", "Class", "Status", "Weights", "Bias", "Activation", "Output")
        rows = [
            (
                layer.path,
                layer.class_name,
                layer.status,
                _bits(layer.weights),
                _bits(layer.biases),
                _bits(layer.activations),
                "-" if layer.outputs is None else str(layer.outputs),
                layer.reason,
            )
            for layer in self.layers
        ]
        notes = [f"Warning: {text}" for text in self.warnings]
        title = f"{self.name}: quantization (bits)"
        return [ShownTable(title, (*header, "Reason"), rows, notes)]

    def __repr__(self) -> str:
        counts = (
            f"{len(self.with_status(status))} {status}"
            for status in ("quantized", "fused", "skipped")
        )
        return f'<ModelReport "{self.name}": {", ".join(counts)}>'


def report(
    model: tf_keras.Model,
    verbose: bool = True,
    print_fn: Callable[[str], Any] | None = None,
) -> ModelReport:
    """Tells for each layer whether it is quantized, to how many bits, and why not.

    Args:
        model: a Sequential or functional model, quantization-aware or not.
        verbose: whether to print the table.
        print_fn: takes the text instead of the standard output.

    Returns:
        The same as data.

    Raises:
        ArgumentError: it is no model.
        UnsupportedModelError: it is subclassed.

    Example:
        >>> model = lq.qat.quantize_model(tf_keras.Sequential([
        ...     tf_keras.layers.Dense(4, input_shape=(8,), name="fc"),
        ...     tf_keras.layers.ReLU(name="relu")], name="net"))
        >>> found = lq.qat.report(model, verbose=False)
        >>> found.layer("quant_fc").weights, found.layer("quant_fc").reason
        ({'kernel': 8}, 'output quantized after relu')
        >>> found
        <ModelReport "net": 3 quantized, 0 fused, 0 skipped>
    """
    require_model(model, "lq.qat.report", unbuilt=True)
    layers = tuple(_layers(LayerGraph.of(model), "", set()))
    found = ModelReport(model.name, layers, tuple(_warnings(layers)))
    if verbose:
        found.print(print_fn)
    return found


def _layers(graph: LayerGraph, path: str, seen: set[int]) -> Iterator[LayerReport]:
    for use in graph.uses:
        if id(use.entry) in seen:
            continue
        seen.add(id(use.entry))
        here = f"{path}{use.layer.name}"
        if use.entry.graph is not None:
            yield from _layers(use.entry.graph, f"{here}/", seen)
        elif isinstance(use.layer, QuantizeWrapperV2):
            yield _of_wrapper(use.layer, here)
        else:
            yield _of_plain(graph, use, here)


def _of_wrapper(wrapper: QuantizeWrapperV2, path: str) -> LayerReport:
    inner, config = wrapper.layer, wrapper.quantize_config
    weights, biases = _weights(inner)
    activations = {
        name: _precision(activation.quantizer)
        for name, activation in wrapper.quantized_activations.items()
    }
    inputs = declared_precision(wrapper.input_quantizer)
    outputs = wrapper.output_precision
    reason = getattr(config, "reason", "")
    if wrapper.quantizes:
        status = "quantized"
    elif reason:
        status = "fused" if reason.startswith(_AFTER) else "skipped"
    else:
        status, reason = "skipped", _nothing_to_quantize(inner)
    return LayerReport(
        path=path,
        class_name=type(inner).__name__,
        status=status,
        weights=weights,
        biases=biases,
        activations=activations,
        inputs=inputs,
        outputs=outputs,
        reason=reason,
    )


def _of_plain(graph: LayerGraph, use: LayerUse, path: str) -> LayerReport:
    layer = use.layer
    inner = layer.layer if isinstance(layer, QuantizeAnnotate) else layer
    weights, biases = _weights(inner)
    outputs = getattr(layer, "output_precision", None)
    status, reason = _status_of_plain(graph, use)
    return LayerReport(
        path=path,
        class_name=type(inner).__name__,
        status=status,
        weights=weights,
        biases=biases,
        activations={},
        inputs=declared_precision(getattr(layer, "input_quantizer", None)),
        outputs=outputs,
        reason=reason,
    )


def _status_of_plain(graph: LayerGraph, use: LayerUse) -> tuple[str, str]:
    layer = use.layer
    if isinstance(layer, QuantizeLayer):
        return (
            ("skipped", "no quantizer")
            if layer.quantizer is None
            else ("quantized", "")
        )
    if isinstance(layer, (QuantLayer, Quantizer)):
        return "quantized", "by its own quantizers"
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        name = symbol.rpartition(".")[2]
        if name in KEEPING_VALUES - JOINING:
            return "skipped", "keeps its values: nothing to quantize"
        if name in BEFORE:
            return "skipped", "its range is known: nothing to quantize"
        after = _quantized_after(graph, use)
        if after is not None:
            return "fused", f"output quantized after {after.layer.name}"
        return "skipped", f"the operator tf.{symbol} is not quantized"
    if isinstance(layer, tf_keras.layers.Lambda):
        return "skipped", "a Lambda layer may compute anything"
    if isinstance(layer, QuantizeAnnotate):
        return "skipped", "annotated; quantize_apply was not called yet"
    if rule_for(layer) is None:
        return "skipped", f"no rule for the class {type(layer).__name__}"
    return "skipped", "not annotated"


def _quantized_after(graph: LayerGraph, use: LayerUse) -> LayerUse | None:
    """What alone reads an operator, and rounds its output: itself, or by a ReLU before."""
    reader = graph.only_consumer(use)
    if reader is None:
        return None
    if getattr(reader.layer, "symbol", None) in ("nn.relu", "nn.relu6"):
        return _quantized_after(graph, reader)
    rounds = isinstance(reader.layer, QuantizeLayer) and reader.layer.quantizer
    if isinstance(reader.layer, QuantizeWrapperV2):
        inner = reader.layer.layer
        is_function = facts_of(inner, ()).activation == "fused"
        name = name_of(getattr(inner, "activation", inner))
        is_relu = is_function and name in ("relu", "relu6")
        rounds = is_relu and _is_rounded(reader.layer)
    return reader if rounds else None


def _is_rounded(wrapper: QuantizeWrapperV2) -> bool:
    """Whether what a wrapped layer gives out is quantized there, or by what reads it."""
    reason = getattr(wrapper.quantize_config, "reason", "")
    return bool(wrapper.output_precision) or reason.startswith(_AFTER)


def _weights(layer: Layer) -> tuple[dict[str, int], dict[str, int]]:
    """Bits of a layer's weights and of its biases, by name."""
    found: tuple[dict, dict] = ({}, {})
    left = {id(variable) for variable in getattr(layer, "training_state", ())}
    for variable in layer.weights:
        if is_table(variable):
            continue
        if not variable.dtype.is_floating or id(variable) in left:
            continue
        parts = variable.name.partition(":")[0].split("/")
        if layer.name in parts:
            parts = parts[parts.index(layer.name) + 1 :]
        is_bias = parts[-1] in ("bias", "beta") or parts[-1].endswith("_bias")
        found[is_bias]["/".join(parts)] = weight_bits(variable)
    return found


def _nothing_to_quantize(layer: Layer) -> str:
    function = name_of(getattr(layer, "activation", None))
    if function in BEFORE or isinstance(layer, tf_keras.layers.Softmax):
        return "its range is known: nothing to quantize"
    return "keeps its values: nothing to quantize"


def _precision(quantizer) -> int:
    return declared_precision(quantizer) or FULL


def _bits(by_name: dict[str, int]) -> str:
    """One number if all have as many bits, else each with its name."""
    if not by_name:
        return "-"
    if len(set(by_name.values())) == 1:
        return str(next(iter(by_name.values())))
    return ", ".join(f"{name} {bits}" for name, bits in by_name.items())


def _warnings(layers: tuple[LayerReport, ...]) -> Iterator[str]:
    for layer in layers:
        narrow = {name: bits for name, bits in layer.biases.items() if bits < FULL}
        if narrow:
            yield (
                f"{layer.path}: the bias is quantized to {_bits(narrow)} bits. Fewer than "
                "32 usually harm accuracy, since a bias is added to sums of many products."
            )


def _of_layer_inside(call: Call) -> Iterator[Product]:
    inside = call.of(call.layer.layer)
    return formula_for(inside)(inside)


def _facts_of_layer_inside(wrapper) -> LayerFacts:
    return LayerFacts(values=facts_of(wrapper.layer).values)


KINDS[QuantizeLayer] = no_macs
add_layer_facts(QuantizeLayer, LayerFacts())
for _cls in (QuantizeWrapperV2, QuantizeAnnotate):
    KINDS[_cls] = _of_layer_inside
    add_layer_facts(_cls, _facts_of_layer_inside)
