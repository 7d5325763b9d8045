"""What a `QuantizeConfig` asks of operators such as `a + b`, which no wrapper holds.

A wrapper calls its layer with a tensor first; an operator may be called with anything.
"""

from __future__ import annotations

from larqlite.errors import ArgumentError, QuantizerError
from larqlite.graph import LayerEntry, LayerGraph
from larqlite.qat import quantizers
from larqlite.qat.config import QuantizeConfig, asked
from larqlite.qat.wrapper import QuantizeLayer

_OF_LAYERS = {
    "get_weights_and_quantizers": "weights",
    "get_activations_and_quantizers": "activations",
    "get_input_quantizers": "inputs",
}


def follow_configs(graph: LayerGraph, where: str) -> None:
    """Puts `QuantizeLayer`s after operators whose config quantizes what they give out.

    Args:
        graph: with the schemes and configs of its entries; changed in place.
        where: the public function on whose behalf it is done, for messages.

    Raises:
        ArgumentError: a config quantizes more of an operator than its outputs.
    """
    refused = [
        (entry, asks)
        for part in graph.graphs()
        for entry in part.entries()
        if entry.is_operator and entry.config is not None
        if (asks := _what_it_has_not(entry))
    ]
    if refused:
        raise _refusal(graph, refused, where)
    for part in graph.graphs():
        _quantize_outputs(part)


def _quantize_outputs(graph: LayerGraph) -> None:
    made: dict[int, list[LayerEntry]] = {}
    for use in list(graph.uses):
        entry = use.entry
        if not entry.is_operator or entry.config is None:
            continue
        wanted = asked(entry.config, "get_output_quantizers", entry.layer)
        if wanted and id(entry) not in made:
            # The last one serves the outputs that follow, as in a wrapper.
            wanted += wanted[-1:] * (len(use.outputs) - len(wanted))
            made[id(entry)] = [
                LayerEntry(
                    QuantizeLayer(quantizers.get(one), name=f"quantize_{entry.name}"),
                    is_new=True,
                )
                for one in wanted
            ]
        for edge, new in zip(list(use.outputs), made.get(id(entry), ()), strict=False):
            if edge.tensor.dtype.is_floating:
                graph.insert_after(edge, new)


def _what_it_has_not(entry: LayerEntry) -> str:
    """What a config quantizes of a layer that an operator has not, or nothing."""
    config: QuantizeConfig = entry.config
    for method, what in _OF_LAYERS.items():
        try:
            found = asked(config, method, entry.layer)
        except (AttributeError, QuantizerError):
            return what  # such as a kernel
        if found:
            return what
    return ""


def _refusal(
    graph: LayerGraph, refused: list[tuple[LayerEntry, str]], where: str
) -> ArgumentError:
    name = type(refused[0][0].config).__name__
    operators = ", ".join(f'"{entry.name}" ({asks})' for entry, asks in refused)
    table = ", ".join(f'"{entry.name}": "float"' for entry, _ in refused)
    return ArgumentError(
        f'{where}: of an operator only the outputs are quantized; in "'
        f'{graph.model.name}" {name} asks for more of {operators}.\n'
        f'  Fix: leave them out of it by a scheme {{{table}, "*": {name}(...)}}; what '
        "was annotated with it, annotate without a config."
    )
