"""`profile(model)`: what each layer of a model costs, from its sizes and precisions."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.from_keras import as_tf_keras
from larqlite.graph import is_functional, require_model
from larqlite.models import _bits, _notes
from larqlite.models._call import (
    Shape,
    TensorProfile,
    UnknownCost,
    count,
    size,
    static_shape,
    value_of,
)
from larqlite.models._kinds import formula_for, known_formula
from larqlite.models._macs import no_macs
from larqlite.models._profile import LayerProfile, MacsByBits, ModelProfile
from larqlite.models._walk import RepeatedCall, Walk, is_leaf, leaves

Layer = tf_keras.layers.Layer


def profile(model: tf_keras.Model, input_shape: Any = None) -> ModelProfile:
    r"""What a model costs, layer by layer.

    A weight has the bits that its quantizer declares, else those of its dtype;
    a multiply-accumulate has the bits of its weight and of its (quantized) input,
    32 where nothing quantizes it. Operations are counted for one sample, by what a
    layer computes: subclasses, nested models and every use of a shared layer
    count. Batch normalizations count as deployed: a scale and an offset per
    channel. What cannot be told is None, with the reason.

    $$\mathrm{OPs} = \mathrm{BOPs}/64 + \mathrm{FLOPs}, \qquad
    \mathrm{ACE} = \sum \mathrm{MACs} \cdot b_w \cdot b_a$$

    Args:
        model: a built tf_keras model: Functional, Sequential or subclassed; or one of
            Keras 3 (`lq.models.from_keras`).
        input_shape: sizes for what the model leaves open, batch first (a list or
            dictionary of them for several inputs), e.g. `(None, 224, 224, 3)`.

    Returns:
        The profile, plain data with sums, `to_dict()` and `to_markdown()`.

    Raises:
        UnbuiltModelError: the model has no weights yet.
        ArgumentError: it is no model, or `input_shape` does not fit it.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Flatten(input_shape=(28, 28)),
        ...     lq.layers.QuantDense(64, kernel_quantizer="ste_sign",
        ...         kernel_constraint="weight_clip", use_bias=False),
        ...     lq.layers.QuantDense(10, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip")])
        >>> costs = lq.models.profile(model)
        >>> costs.params_by_bits, costs.deployed_bytes
        ({1: 50816, 32: 10}, 6392)
        >>> costs.macs_by_bits
        {(1, 1): 640, (1, 32): 50176}

    References:
        Bi-Real Net (BOPs, FLOPs, OPs), https://arxiv.org/abs/1808.00278;
        PokeBNN (ACE), https://arxiv.org/abs/2112.00133.
    """
    return measure(model, input_shape, "lq.models.profile")


def measure(model: tf_keras.Model, input_shape: Any, where: str) -> ModelProfile:
    """`profile` on behalf of the function named `where`."""
    model = as_tf_keras(model, where)
    require_model(model, where, subclassed=True)
    walk = Walk()
    inputs = _inputs(model, input_shape, where)
    if inputs is None:
        walk.give_up(
            model,
            f"{model.name} has not been called yet, so the sizes inside it are unknown; "
            "give its `input_shape=`, e.g. input_shape=(None, 32, 32, 3)",
        )
    else:
        args, kwargs = inputs
        walk.apply(model, args, kwargs, None)
    return _assemble(model, walk)


def _assemble(model: tf_keras.Model, walk: Walk) -> ModelProfile:
    rows, met, holders = [], set(), {}
    for layer, path in (*leaves(model), (model, model.name)):
        if id(layer) in met:
            continue
        met.add(id(layer))
        trained = _bits.trained_weights(layer)
        new = [weight for weight in trained if id(weight) not in holders]
        # An input inside a nested model is no more than the place where it begins.
        inner_input = isinstance(layer, tf_keras.layers.InputLayer) and "/" in path
        if new or (is_leaf(layer) and not inner_input):
            held = {holders[id(w)] for w in trained if id(w) in holders}
            rows.append(_row(layer, path, walk, new, held if is_leaf(layer) else ()))
        holders.update((id(weight), path) for weight in new)
    return ModelProfile(
        name=model.name,
        layers=tuple(rows),
        trained_params=sum(row.trained_params for row in rows),
        notes=tuple(dict.fromkeys(walk.notes)),
    )


def _row(
    layer: Layer,
    path: str,
    walk: Walk,
    weights: Sequence[tf.Variable],
    holders: Iterable[str],
) -> LayerProfile:
    uses = walk.uses.get(id(layer), [])
    lost = walk.unknown.get(id(layer), "")
    sources = [_bits.input_of(layer, use.call.inputs) for use in uses]
    macs, reason = _macs(layer, uses, lost)
    return LayerProfile(
        name=layer.name,
        class_name=type(layer).__name__,
        path=path,
        calls=len(uses),
        input_shape=_shapes(uses[0].call.inputs) if uses else None,
        output_shape=_shapes(uses[0].call.outputs) if uses else None,
        input_precision=_widest_precision(sources),
        weights=tuple(_bits.deployed_weights(layer, weights)),
        trained_params=sum(map(count, weights)),
        macs_by_bits=macs,
        macs_reason=reason,
        notes=(
            *_notes.of_layer(layer, uses, weights, holders, lost),
            *_notes.of_input(sources),
            *_notes.of_shape(uses, lost),
            *_notes.of_macs(reason),
        ),
    )


def _macs(
    layer: Layer, uses: Sequence[RepeatedCall], lost: str
) -> tuple[MacsByBits | None, str]:
    """Multiply-accumulates over all uses, or None and the reason."""
    if known_formula(layer) is no_macs:
        return {}, ""
    if lost:
        return None, lost
    sums = Counter()
    try:
        if not is_leaf(layer):
            name = type(layer).__name__
            raise UnknownCost(
                f"no formula for what {name} itself does with its own weights; add one "
                f"with @lq.models.mac_formula({name})"
            )
        for use in uses:
            for macs, weight_bits, input_bits in formula_for(use.call)(use.call):
                sums[weight_bits, input_bits] += macs * size([use.repeats])
    except UnknownCost as unknown:
        return None, str(unknown)
    return {bits: macs for bits, macs in sorted(sums.items()) if macs}, ""


def _widest_precision(sources: Sequence[TensorProfile | None]) -> int | None:
    """Precision of a layer's input; None if in one of its uses nothing quantizes it."""
    bits = [source.bits if source else None for source in sources]
    return None if not bits or None in bits else max(bits)


def _shapes(values: Sequence[TensorProfile]) -> Any:
    shapes = tuple(value.shape for value in values)
    return shapes[0] if len(shapes) == 1 else shapes


def _inputs(model: tf_keras.Model, given: Any, where: str) -> tuple[tuple, dict] | None:
    """The model's arguments with values in place of tensors, or None if not known."""
    if is_functional(model):
        values = list(map(value_of, model.inputs))
        if given is not None:
            values = _sized(model, values, given, where)
        return (values,), {}
    if given is not None:
        given = _map_shapes(
            lambda s: TensorProfile(s, model.compute_dtype), given, where
        )
        return (given,), {}
    spec = model.save_spec()
    if spec is not None:
        # Of a loaded model it has None for arguments that were not given.
        return tf.nest.map_structure(lambda s: s if s is None else value_of(s), spec)
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None:
        return None
    return (
        _map_shapes(lambda s: TensorProfile(s, model.compute_dtype), shape, where),
    ), {}


def _sized(
    model: tf_keras.Model, values: Sequence[TensorProfile], given: Any, where: str
) -> list[TensorProfile]:
    """The values of a functional model's inputs with the given sizes."""
    if isinstance(given, dict) and set(given) == set(model.input_names):
        given = [given[name] for name in model.input_names]
    shapes: list[Shape] = []
    _map_shapes(shapes.append, given, where)
    if len(shapes) != len(values):
        raise ArgumentError(
            f'{where}: "{model.name}" has {len(values)} inputs '
            f"({', '.join(model.input_names)}), but `input_shape` gives {len(shapes)}.\n"
            "  Fix: pass a list with one shape per input, or a dictionary by input name."
        )
    sized = []
    for name, value, shape in zip(model.input_names, values, shapes, strict=True):
        known = value.shape
        if known is not None and len(shape) == len(known) - 1:
            shape = (known[0], *shape)
        if not tf.TensorShape(shape).is_compatible_with(known):
            raise ArgumentError(
                f'{where}: `input_shape` {shape} does not fit the input "{name}" of '
                f'"{model.name}", which has the shape {known}.\n'
                "  Fix: keep the sizes that the model knows; give only those that are None."
            )
        merged = tf.TensorShape(shape).merge_with(known)
        sized.append(value.with_shape(static_shape(merged)))
    return sized


def _map_shapes(function: Any, given: Any, where: str) -> Any:
    """Applies a function to each shape in nested lists, tuples and dictionaries."""
    if isinstance(given, tf.TensorShape):
        return function(static_shape(given))
    if isinstance(given, dict):
        return {k: _map_shapes(function, given[k], where) for k in sorted(given)}
    if isinstance(given, (list, tuple)):
        if all(n is None or isinstance(n, numbers.Integral) for n in given):
            return function(static_shape(given))
        return [_map_shapes(function, item, where) for item in given]
    raise ArgumentError(
        f"{where}: `input_shape` is {given!r}, which is no shape.\n"
        "  Fix: pass a tuple with the batch first, e.g. (None, 32, 32, 3), or a list or "
        "dictionary of such tuples for several inputs."
    )
