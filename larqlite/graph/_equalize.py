"""Cross-layer equalization: kernels in a row get equal ranges, and the model stays the same."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter

import numpy as np
import tf_keras

from larqlite._copies import copy_of
from larqlite.graph._layer_facts import KernelAxes, facts_of
from larqlite.graph._layer_graph import LayerGraph, LayerUse
from larqlite.graph._require_model import require_model

log = logging.getLogger("larqlite.graph")

_WHERE = "lq.qat.equalize"
_layers = tf_keras.layers
# Rounds over all pairs, and the factor from which on another one is worth it.
_ROUNDS = 20
_ENOUGH = 1e-3
_LOSES_FACTORS = "is not positively homogeneous: a factor does not pass through it"


def equalize(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model that computes the same, with the ranges of kernels in a row made equal.

    Where nothing but a batch normalization, a ReLU, a pooling or a reshape lies between
    two kernels, channel $i$ between them can be divided by $s_i$ in the first and
    multiplied by it in the second. With the largest magnitudes $r^{(1)}_i$ of what makes
    the channel and $r^{(2)}_i$ of what reads it,

    $$ s_i = \frac{1}{r^{(2)}_i} \sqrt{r^{(1)}_i r^{(2)}_i} $$

    makes both $\sqrt{r^{(1)}_i r^{(2)}_i}$. Pairs are gone through until nothing changes
    any more. It helps where a range serves several channels: of kernels with one range,
    as in depthwise layers, and of activations.

    A factor passes through linear functions, ReLU, leaky ReLU and PReLU. It does not
    through ReLU6 and others with a largest value, whose layers stay as they are; a
    warning names them.

    Args:
        model: a built float Sequential or functional model; it is not changed.

    Returns:
        A new, uncompiled model.

    Raises:
        ArgumentError: no model.
        UnsupportedModelError: subclassed, or with a layer that cannot be copied.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(2, activation="relu", input_shape=(2,)),
        ...     tf_keras.layers.Dense(1)])
        >>> model.layers[0].kernel.assign([[8.0, 0.5], [0.0, 0.0]]).shape[0]
        2
        >>> model.layers[1].kernel.assign([[2.0], [2.0]]).shape[0]
        2
        >>> equal = lq.qat.equalize(model)
        >>> [float(np.abs(layer.kernel).max()) for layer in equal.layers]
        [4.0, 4.0]

    References:
        Nagel et al., https://arxiv.org/abs/1906.04721, section 4.1, eq. 11.
    """
    require_model(model, _WHERE)
    copy = copy_of(model, _WHERE)
    root = LayerGraph.of(copy)
    calls = Counter(id(use.entry) for graph in root.graphs() for use in graph.calls())
    pairs, refused = [], {}
    for graph in root.graphs():
        for use in graph.uses:
            if calls[id(use.entry)] == 1 and _kernel_of(use) is not None:
                _find(graph, use, calls, pairs, refused)
    for name, reason in refused.items():
        log.warning(
            '%s: the layers around "%s" stay as they are: it %s.', _WHERE, name, reason
        )
    for _ in range(_ROUNDS if pairs else 0):
        if max(pair.equalize() for pair in pairs) < _ENOUGH:
            break
    return copy


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Two kernels with a factor for each channel between them.

    Attributes:
        first, second: layers with kernels.
        normalization: between them, which is scaled in place of the first; or None.
    """

    first: tf_keras.layers.Layer
    second: tf_keras.layers.Layer
    normalization: tf_keras.layers.Layer | None

    def equalize(self) -> float:
        """Makes the ranges equal; returns by how much the largest factor is not 1."""
        out, into = _axes(self.first)[-1], _axes(self.second)[0]
        kernel = np.asarray(getattr(self.first, out.name), np.float64)
        following = np.asarray(getattr(self.second, into.name), np.float64)
        made = _largest(kernel, out.channels_out)
        normalization = self.normalization
        if normalization is not None:
            deviation = np.sqrt(normalization.moving_variance + normalization.epsilon)
            made = made * np.abs(normalization.gamma / deviation)
        (axis,) = into.channels_in
        read = _largest(following, (axis,))
        read = read.reshape(-1, len(made)).max(0)  # pixels of a flattened image
        usable = (made > 0) & (read > 0)
        factor = np.where(usable, np.sqrt(made / np.where(usable, read, 1)), 1.0)
        factor = np.where(usable, factor, 1.0)
        for owner, name, axes in self._scaled(out):
            value = np.asarray(getattr(owner, name), np.float64)
            getattr(owner, name).assign(value / _along(factor, value, axes))
        tiled = np.tile(factor, following.shape[axis] // len(factor))
        getattr(self.second, into.name).assign(
            following * _along(tiled, following, (axis,))
        )
        return float(np.max(np.abs(factor - 1)))

    def _scaled(self, out: KernelAxes) -> list[tuple]:
        """What is divided: `(owner, attribute, axes of the channels)`."""
        if self.normalization is not None:
            found = [(self.normalization, name, (-1,)) for name in ("gamma", "beta")]
        else:
            found = [
                (self.first, out.name, out.channels_out),
                (self.first, "bias", (-1,)),
            ]
        return [one for one in found if getattr(one[0], one[1], None) is not None]


def _find(graph: LayerGraph, use: LayerUse, calls, pairs: list, refused: dict) -> None:
    """Follows what comes out of a kernel to the next one."""
    first, normalization, at = use.layer, None, use
    problem = _problem_of(getattr(first, "activation", None))
    while True:
        reader = graph.only_consumer(at)
        if reader is None or calls[id(reader.entry)] > 1 or len(reader.inputs) != 1:
            return
        layer = reader.layer
        if (axes := _kernel_of(reader)) is not None:
            break
        facts = facts_of(layer)
        if facts.is_batch_normalization:
            if normalization is not None or at is not use or problem is not None:
                return
            if layer.gamma is None or list(np.atleast_1d(layer.axis)) not in (
                [-1],
                [len(at.outputs[0].tensor.shape) - 1],
            ):
                return
            if getattr(first, "activation", None) not in (
                None,
                tf_keras.activations.linear,
            ):
                return
            normalization = layer
        elif _is_activation(layer):
            problem = problem or _problem_of_layer(layer)
        elif not (
            facts.keeps_range and facts.values in _PASSED and _keeps_channels(layer)
        ):
            return
        at = reader
    channels = _count(_axes(first)[-1], first)
    (axis,) = axes[0].channels_in
    if getattr(layer, axes[0].name).shape[axis] % channels:
        return
    if problem is not None:
        refused[getattr(problem, "name", None) or first.name] = _LOSES_FACTORS
        return
    pairs.append(_Pair(first, layer, normalization))


# What passes on each value with its factor; "between": means.
_PASSED = ("between", "picked", "moved", "reshaped")


def _keeps_channels(layer) -> bool:
    """Whether channels stay the last axis, or become its fastest part."""
    facts = facts_of(layer)
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    is_flat = isinstance(layer, _layers.Flatten)
    return (
        bool(facts.pooling)
        or facts.does_nothing_in_inference
        or is_flat
        or isinstance(
            layer,
            (
                _layers.ZeroPadding1D,
                _layers.ZeroPadding2D,
                _layers.ZeroPadding3D,
                _layers.UpSampling1D,
                _layers.UpSampling2D,
                _layers.UpSampling3D,
            ),
        )
    )


def _is_activation(layer) -> bool:
    kinds = (_layers.Activation, _layers.ReLU, _layers.LeakyReLU, _layers.PReLU)
    return isinstance(layer, kinds) or bool(facts_of(layer).activation)


def _problem_of_layer(layer):
    if type(layer) is _layers.Activation:
        return layer if _problem_of(layer.activation) is not None else None
    if type(layer) is _layers.ReLU:
        is_plain = layer.max_value is None and not layer.threshold
        return None if is_plain else layer
    return None if type(layer) in (_layers.LeakyReLU, _layers.PReLU) else layer


def _problem_of(activation):
    plain = (None, tf_keras.activations.linear, tf_keras.activations.relu)
    return None if activation in plain else activation


def _axes(layer) -> tuple[KernelAxes, ...]:
    return facts_of(layer).kernels


def _kernel_of(use: LayerUse) -> tuple[KernelAxes, ...] | None:
    """The kernels of a layer whose channels are known and last; None for others."""
    layer = use.layer
    kernels = facts_of(layer).kernels
    if not kernels or getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    if (
        len(kernels) > 1
        or not kernels[0].channels_out
        or len(kernels[0].channels_in) != 1
    ):
        return None
    if getattr(layer, "groups", 1) != 1:
        return None
    is_float = hasattr(getattr(layer, kernels[0].name, None), "assign")
    return (
        kernels if is_float and type(layer).__module__.startswith("tf_keras") else None
    )


def _count(axes: KernelAxes, layer) -> int:
    shape = getattr(layer, axes.name).shape
    return int(np.prod([shape[axis] for axis in axes.channels_out]))


def _largest(kernel: np.ndarray, channels: tuple[int, ...]) -> np.ndarray:
    """The largest magnitude of each channel."""
    kept = {axis % kernel.ndim for axis in channels}
    others = tuple(axis for axis in range(kernel.ndim) if axis not in kept)
    return np.abs(kernel).max(others).reshape(-1)


def _along(
    factor: np.ndarray, value: np.ndarray, channels: tuple[int, ...]
) -> np.ndarray:
    kept = {axis % value.ndim for axis in channels}
    return factor.reshape(
        [size if axis in kept else 1 for axis, size in enumerate(value.shape)]
    )
