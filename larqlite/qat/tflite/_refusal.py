"""What TFLite's converter says of a model that it does not take, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from larqlite.errors import UnsupportedModelError
from larqlite.qat.tflite._layer_names import innermost

__all__ = ["first_line", "refusal"]

_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def refusal(
    name: str,
    error: Exception,
    heard: str,
    layers: Sequence[str],
    quantized: Collection[str],
    where: str,
) -> UnsupportedModelError:
    """The error to raise for one of the converter's.

    Args:
        name: of the model.
        error: what the converter raised.
        heard: what it wrote to the standard error, which names places in the model.
        layers: names of the model's layers.
        quantized: those of them that the model quantizes.
        where: the public function, for messages.
    """
    message = str(error)
    paths = re.findall(r'"([^"@]+)@__inference', f"{heard}\n{message}")
    found = dict.fromkeys(filter(None, (innermost(path, layers) for path in paths)))
    named = ", ".join(f'"{layer}"' for layer in found) or f'"{name}"'
    unknown = sorted(set(_UNKNOWN.findall(message)))
    if unknown:
        operations = ", ".join(f"tf.{kind}" for kind in unknown)
        return UnsupportedModelError(
            f"{where}: TFLite has no operation for {operations} of {named}.\n"
            "  Fix: write it with operations that TFLite has, or compute it outside of "
            "the model; in float it is as unknown."
        )
    fix = "write it with other operations, or compute it outside of the model."
    if "TensorList" in message:
        return UnsupportedModelError(
            f"{where}: the loop of {named} cannot be unrolled, and TFLite's converter "
            f"takes no other.\n  Fix: {fix}"
        )
    for layer in found:
        if layer in quantized:
            fix = (
                f'leave the layer float, with a scheme {{"{layer}": "float", "*": '
                f'"int8"}}; if that is refused too, {fix}'
            )
            break
    return UnsupportedModelError(
        f"{where}: TFLite's converter does not take {named}: {first_line(message)}\n"
        f"  Fix: {fix}"
    )


def first_line(message: str) -> str:
    """What went wrong, without the place in a source file."""
    lines = [line for line in message.splitlines() if line.strip()] or [
        "no reason given"
    ]
    return re.sub(r"^.*? error: ", "", lines[0])[:200]
