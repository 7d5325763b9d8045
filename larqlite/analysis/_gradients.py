"""What a width of one unit costs, from gradients: a few batches stand for all the runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies import carry, layer_like
from larqlite._progress import bar
from larqlite.analysis._measured import decibels
from larqlite.analysis._samples import Samples
from larqlite.analysis._units import Unit
from larqlite.graph import (
    LayerCall,
    call_in_inference,
    facts_of,
    follow,
    in_order,
    resolve,
)
from larqlite.qat import quantizers
from larqlite.qat.passes import QUANT_CLASS, QuantLayerScheme
from larqlite.qat.quantizers.internal import calibrating, invoke, of_weights

__all__ = ["gradient_scores"]

Layer = tf_keras.layers.Layer
_WHERE = "lq.analysis.sensitivity"


def gradient_scores(
    model: tf_keras.Model,
    units: Sequence[Unit],
    schemes: dict[str, Any],
    samples: Samples,
    seed: int,
) -> dict[tuple[str, str], float]:
    r"""The SQNR of the outputs that gradients foretell, in dB, by unit and width.

    $\Delta_u$ is what the width changes in the outputs of the unit, given the inputs that
    it has in float. To first order the model's outputs f change by
    $J_u \Delta_u$, and with signs v drawn at random

    $$ E\,\lVert J_u \Delta_u \rVert^2 = E_v ( \nabla_u (v^\top f) \cdot \Delta_u)^2 $$

    so that one backward pass for all units, and one forward pass of each layer for each
    width, give them all.

    Args:
        model: the float model.
        units: its units.
        schemes: by the word of the width.
        samples: what gradients are taken on.
        seed: of the signs.
    """
    cells = [
        _UnitAtWidth(unit, word, scheme)
        for unit in units
        for word, scheme in schemes.items()
        if unit.takes(scheme)
    ]
    by_unit = defaultdict(list)
    for cell in cells:
        by_unit[id(cell.unit)].append(cell)
    random = np.random.default_rng(seed)
    runs = [_BatchRun(model, batch, units, random) for batch in samples.batches()]
    _set_ranges(runs, units, by_unit)
    signal = sum(run.signal for run in runs)
    found, copies = {}, {}
    with bar("gradients", len(cells), "widths of layers") as shown:
        for cell in cells:
            noise = sum(run.noise(cell, copies) for run in runs)
            found[cell.unit.name, cell.word] = decibels(signal, noise)
            shown.advance()
    return found


class _TensorQuantizer:
    """A quantizer of one tensor, with its variables."""

    def __init__(self, quantizer: Any, shape: Any, of_weight: bool = False):
        self._quantizer, self._of_weight = quantizer, of_weight
        holder = Layer()
        self._variables = quantizer.build(tf.TensorShape(shape), "values", holder)
        self._is_set = False

    def observe(self, values: tf.Tensor, seen: int) -> None:
        """Lets a range hold these values too."""
        with calibrating(seen, len(values)):
            self._call(values)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        if not self._of_weight:
            return self._call(values)
        with calibrating(0), of_weights():
            return self._call(values)

    def _call(self, values: tf.Tensor) -> tf.Tensor:
        return invoke(self._quantizer, values, training=False, weights=self._variables)


class _UnitAtWidth:
    """One unit at one width: the quantizers of its weights, inputs and outputs.

    Args:
        unit: the unit.
        word: of the width.
        scheme: that the word means.
    """

    def __init__(self, unit: Unit, word: str, scheme: Any):
        self.unit, self.word = unit, word
        self.end: _TensorQuantizer | None = None
        # Of inputs of the model, and of inputs of any kind.
        self.of_model_inputs: _TensorQuantizer | None = None
        self.of_inputs: _TensorQuantizer | None = None
        layer = unit.layer
        if isinstance(scheme, QuantLayerScheme):
            wanted = dict.fromkeys(
                QUANT_CLASS[type(layer)].quantized_weights,
                quantizers.get(scheme.kernel_quantizer),
            )
            of_inputs = quantizers.get(scheme.input_quantizer_of_layers)
            self.of_inputs = of_inputs and _TensorQuantizer(
                of_inputs, layer.input_shape
            )
        else:
            config = scheme.config_of(layer)
            if config is None:  # a separable convolution is made two by a pass
                names = [axes.name for axes in facts_of(layer).kernels]
                wanted = {name: scheme.weight_quantizer(True) for name in names}
            else:
                wanted = config.weights
            self.end = _made(scheme.tensor_quantizer())
            self.of_model_inputs = _made(scheme.input_quantizer())
        self.weights = {
            path: _TensorQuantizer(
                quantizer, _weight(layer, path).shape, of_weight=True
            )
            for path, quantizer in wanted.items()
            if _weight(layer, path) is not None
        }

    def quantize_weights(self, copy: Layer) -> None:
        """Gives a copy of the layer the weights of this width."""
        for path, quantizer in self.weights.items():
            _weight(copy, path).assign(quantizer(_weight(self.unit.layer, path)))

    def quantized_input(self, value: tf.Tensor, is_model_input: bool) -> tf.Tensor:
        """What the layer reads at this width."""
        if not value.dtype.is_floating:
            return value
        if self.of_inputs is not None:
            # Behind a ReLU: the scheme takes it out, and what was 0 was below 0.
            is_rectified = not is_model_input and tf.reduce_min(value) >= 0
            if is_rectified:
                value = tf.where(value == 0, -tf.ones_like(value), value)
            return self.of_inputs(value)
        if is_model_input and self.of_model_inputs is not None:
            return self.of_model_inputs(value)
        return value


def _made(quantizer: Any) -> _TensorQuantizer | None:
    return None if quantizer is None else _TensorQuantizer(quantizer, ())


def _weight(layer: Layer, path: str) -> Any:
    owner, name = resolve(layer, path)
    return getattr(owner, name)


class _BatchRun:
    """One batch through the float model, with what goes into units and comes out.

    Args:
        model: the model.
        batch: its inputs.
        units: the units.
        random: draws the signs.

    Attributes:
        inputs: the batch, in the order of the model's inputs.
        calls: of the layer of each unit, by `id` of the unit.
        given: what comes out of the unit in each of them, likewise.
        signal: the sum of the squared outputs.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        batch: Any,
        units: Sequence[Unit],
        random: np.random.Generator,
    ):
        self._starts = {id(unit.layer): unit for unit in units}
        self._ends = {id(unit.members[-1]): unit for unit in units}
        self.inputs = in_order(model, batch)
        self.calls: dict[int, list[LayerCall]] = defaultdict(list)
        self.given: dict[int, list[tf.Tensor]] = defaultdict(list)
        with tf.GradientTape() as self._tape:
            outputs = follow(model, self.inputs, self._apply)
        self.signal = sum(
            float(tf.reduce_sum(tf.cast(out, tf.float32) ** 2)) for out in outputs
        )
        signs = [
            tf.constant(random.choice((-1.0, 1.0), out.shape), out.dtype)
            for out in outputs
        ]
        self._gradients = self._tape.gradient(outputs, dict(self.given), signs)
        del self._tape

    def _apply(self, call: LayerCall) -> Any:
        result = call_in_inference(call.layer, call.args, call.kwargs)
        if unit := self._starts.get(id(call.layer)):
            self.calls[id(unit)].append(call)
        if unit := self._ends.get(id(call.layer)):
            first = tf.nest.flatten(result)[0]
            self._tape.watch(first)
            self.given[id(unit)].append(first)
        return result

    def noise(self, cell: _UnitAtWidth, copies: dict[int, Layer]) -> float:
        """The squared change of the outputs that a width of one unit is foretold to make."""
        unit = cell.unit
        changes: Any = 0.0
        for call, given, gradient in zip(
            self.calls[id(unit)],
            self.given[id(unit)],
            self._gradients[id(unit)],
            strict=True,
        ):
            if gradient is None:
                continue
            change = self._quantized(cell, call, copies) - given
            products = tf.cast(gradient, tf.float32) * tf.cast(change, tf.float32)
            changes += tf.reduce_sum(products, axis=list(range(1, products.shape.rank)))
        return float(tf.reduce_sum(tf.square(changes)))

    def _quantized(
        self, cell: _UnitAtWidth, call: LayerCall, copies: dict
    ) -> tf.Tensor:
        """What the unit gives out at the width, for the inputs that it has in float."""
        unit, read = cell.unit, call.inputs[0]
        is_model_input = any(read is value for value in self.inputs)
        taken = cell.quantized_input(read, is_model_input)
        args, kwargs = tf.nest.map_structure(
            lambda leaf: taken if leaf is read else leaf, (call.args, call.kwargs)
        )
        if id(unit) not in copies:
            copies[id(unit)] = _copy(unit.layer, args, kwargs)
        copy = copies[id(unit)]
        cell.quantize_weights(copy)
        value = tf.nest.flatten(call_in_inference(copy, args, kwargs))[0]
        for member in unit.members[1:]:
            value = call_in_inference(member, (value,))
        return value if cell.end is None else cell.end(value)


def _copy(layer: Layer, args: Any, kwargs: Any) -> Layer:
    copy = layer_like(layer, _WHERE)
    call_in_inference(copy, args, kwargs)
    carry(layer, copy, _WHERE)
    return copy


def _set_ranges(
    runs: Sequence[_BatchRun], units: Sequence[Unit], by_unit: dict
) -> None:
    """The ranges of inputs and outputs, from the same samples."""
    seen = 0
    for run in runs:
        for unit in units:
            for cell in by_unit[id(unit)]:
                if cell.end is not None:
                    for value in run.given[id(unit)]:
                        cell.end.observe(value, seen)
                if cell.of_model_inputs is not None:
                    for call in run.calls[id(unit)]:
                        read = call.inputs[0]
                        is_input = any(read is value for value in run.inputs)
                        if is_input and read.dtype.is_floating:
                            cell.of_model_inputs.observe(call.inputs[0], seen)
        seen += len(run.inputs[0])
