"""The footnotes of a layer: what a reader of its row should know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf
import tf_keras

from larqlite.models._bits import weight_note
from larqlite.models._call import TensorProfile
from larqlite.models._profile import Note
from larqlite.models._walk import RepeatedCall


def of_layer(
    layer: tf_keras.layers.Layer,
    uses: Sequence[RepeatedCall],
    weights: Iterable[tf.Variable],
    holders: Iterable[str],
    lost: str,
) -> Iterator[Note]:
    """How often it is used, where its weights count, which of them lack a precision."""
    if len(uses) > 1:
        yield Note(
            "layer",
            f"used {len(uses)} times: operations count for each use, weights once",
        )
    if not uses and not lost:
        yield Note("layer", "not needed for the model's outputs: no operations counted")
    for holder in sorted(holders):
        yield Note(
            "layer", f"holds weights of {holder} too, and they are counted there"
        )
    for text in dict.fromkeys(filter(None, map(weight_note, weights))):
        yield Note("layer", text)
    if getattr(layer, "kernel_mask", None) is not None:
        yield Note(
            "layer",
            "implementation=2 keeps a dense kernel, most of it unused; 1 and 3 do not",
        )


def of_input(sources: Sequence[TensorProfile | None]) -> Iterator[Note]:
    """Why its input has that precision, where this is not plain."""
    for text in dict.fromkeys(source.note for source in sources if source):
        if text:
            yield Note("input", text)
    widths = {source.bits for source in sources if source}
    if len(widths) > 1:
        named = ", ".join(
            "none" if b is None else str(b) for b in sorted(widths, key=str)
        )
        yield Note(
            "input", f"the precision of its input differs from use to use: {named}"
        )


def of_shape(uses: Sequence[RepeatedCall], lost: str) -> Iterator[Note]:
    """Why a size of its output is unknown, and how outputs differ between uses."""
    if lost:
        yield Note("shape", f"unknown: {lost}")
        return
    shapes = [value.shape for use in uses for value in use.call.outputs]
    if any(shape is None or None in shape[1:] for shape in shapes):
        yield Note(
            "shape",
            "? is a size that the model leaves open; give it with `input_shape=`, "
            "e.g. input_shape=(None, 224, 224, 3)",
        )
    if len({tuple(value.shape for value in use.call.outputs) for use in uses}) > 1:
        yield Note("shape", "of the first use; the shape differs from use to use")


def of_macs(reason: str) -> Iterator[Note]:
    """Why its operations are unknown."""
    if reason:
        yield Note("macs", f"MACs unknown: {reason}")
