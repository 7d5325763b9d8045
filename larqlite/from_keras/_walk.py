"""How a Keras 3 model is followed: the calls of its graph, in the order in which it runs."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from larqlite.errors import UnbuiltModelError, UnsupportedModelError

Tensor = keras.KerasTensor


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of a layer or operation in a model of Keras 3.

    Attributes:
        operation: the layer, operation of `keras.ops`, or model inside.
        args, kwargs: as recorded, with Keras tensors; without `training`, for which Keras
            3 records defaults of layers and overrides them when it runs, and without what is
            None by itself.
        inputs: the Keras tensors among them.
        outputs: the Keras tensors that come out.
    """

    operation: Any
    args: tuple
    kwargs: dict
    inputs: list
    outputs: list

    @property
    def name(self) -> str:
        return self.operation.name


def is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.Layer)


def is_model(operation: Any) -> bool:
    return isinstance(operation, keras.Model)


def graph_of(model: keras.Model, where: str) -> Any:
    """The graph of a model, which has `inputs`, `outputs`, and calls.

    Raises:
        UnbuiltModelError: it is Sequential and has no inputs yet.
        UnsupportedModelError: it is subclassed.
    """
    if isinstance(model, keras.Sequential):
        graph = getattr(model, "_functional", None)
        if graph is None:
            raise UnbuiltModelError(
                f'{where}: "{model.name}" has no weights and shapes yet.\n'
                "  Fix: give it an Input as its first layer, or call "
                "model.build((None, ...)) first."
            )
        return graph
    known = {keras.Model, type(_smallest())}
    computing = next(c for c in type(model).__mro__ if "call" in vars(c))
    if not hasattr(model, "_nodes_by_depth") or computing not in known:
        raise UnsupportedModelError(
            f'{where}: "{model.name}" is a subclassed model ({type(model).__name__}), '
            "whose call is Python code without a graph to follow.\n"
            "  Fix: call its layers on keras.Input(...) and make keras.Model(inputs, "
            "outputs) of what comes out; layers keep their weights."
        )
    return model


def _smallest() -> keras.Model:
    """A functional model, whose class has no public name."""
    global _functional
    if _functional is None:
        x = keras.Input((1,), name="x")
        _functional = keras.Model(x, keras.layers.Identity(name="same")(x))
    return _functional


_functional = None


def calls_of(graph: Any) -> list[RecordedCall]:
    """The calls that compute a graph's outputs, in the order in which Keras 3 runs them."""
    nodes = graph._nodes_by_depth
    return [
        recorded(node)
        for depth in sorted(nodes, reverse=True)
        for node in nodes[depth]
        if node.operation and not node.is_input
    ]


def recorded(node: Any) -> RecordedCall:
    """A node of a graph of Keras 3 as a call."""
    defaults = inspect.signature(node.operation.call).parameters
    kwargs = {
        key: value
        for key, value in node.arguments.kwargs.items()
        if key != "training"
        and not (value is None and key in defaults and defaults[key].default is None)
    }
    args = tuple(node.arguments.args)
    flat = keras.tree.flatten((args, kwargs))
    inputs = [t for t in flat if isinstance(t, Tensor)]
    return RecordedCall(node.operation, args, kwargs, inputs, list(node.outputs))


def run(call: RecordedCall, value_of: Callable[[Tensor], Any]) -> list:
    """What Keras 3 gives out for a call in inference, flat."""
    args, kwargs = filled(call, value_of)
    if is_layer(call.operation) and call.operation._call_has_training_arg:
        kwargs = {**kwargs, "training": False}
    with warnings.catch_warnings():
        # Said when the model was built already.
        warnings.filterwarnings("ignore", ".*does not support masking.*")
        return keras.tree.flatten(call.operation(*args, **kwargs))


def filled(call: RecordedCall, value_of: Callable[[Tensor], Any]) -> tuple[tuple, dict]:
    """The arguments of a call with values in the place of Keras tensors.

    Constants come as NumPy arrays where they are tensors of a back end; slices and such
    as they are.
    """

    def leaf(x: Any) -> Any:
        if isinstance(x, Tensor):
            return value_of(x)
        if isinstance(x, keras.Variable) or keras.ops.is_tensor(x):
            return np.asarray(keras.ops.convert_to_numpy(x))
        return x

    return keras.tree.map_structure(leaf, (call.args, call.kwargs))


def input_layers(graph: Any) -> list:
    """The `InputLayer` of each input of a graph."""
    return [tensor._keras_history.operation for tensor in graph.inputs]


def input_structure(graph: Any) -> Any:
    return graph._inputs_struct


def output_structure(graph: Any) -> Any:
    return graph._outputs_struct


def mask_of(tensor: Any) -> Any:
    """The mask that Keras 3 attached to a tensor, symbolic or not."""
    return getattr(tensor, "_keras_mask", None)


def producer_of(tensor: Tensor) -> Any:
    """The node that computed a Keras tensor; None for one without a history."""
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        return None
    return history.operation._inbound_nodes[history.node_index]
