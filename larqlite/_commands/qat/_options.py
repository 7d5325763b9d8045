"""What the words after `lq qat` mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from larqlite.command_line import (
    AdaRound,
    BatchSize,
    BiasCorrection,
    Equalize,
    Imports,
    Json,
    Model,
    Ranges,
    Unsafe,
    data_flag,
    output_flag,
    require_at_least,
)
from larqlite.errors import ArgumentError
from larqlite_runtime.former_flags import FormerFlag


@dataclass(frozen=True)
class QatOptions:
    """Which model, data and scheme, and what is written; each field is a flag."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = (
        FormerFlag("--calibration", "--samples"),
    )

    model: Model
    data: Annotated[str, data_flag("to calibrate, train and compare on")]
    scheme: Annotated[
        tuple[str, ...],
        arg(
            metavar="SCHEME",
            help="int8, int4, ... float; int4/8 (weights/activations), ternary/8, ...; "
            "binary (all but the first and last layer, which "
            "get 8 bits); or several PATTERN=SCHEME, the first that fits a layer's name "
            "counts.",
        ),
    ] = ("int8",)
    output: Annotated[
        Path | None,
        output_flag(
            "Where to write the file: .tflite for TFLite, .onnx for a packed file, in "
            "which binary layers are small and fast.",
            "MODEL with the ending .tflite, or .onnx if a scheme is binary",
        ),
    ] = None
    save: Annotated[
        Path | None,
        arg(metavar="FILE", help="Where to save the quantization-aware model too."),
    ] = None
    inputs: Annotated[
        Literal["float32", "int8"], arg(help="Type of the file's inputs and outputs.")
    ] = "float32"
    epochs: Annotated[
        int, arg(help="How often to train on the data; needs labels.")
    ] = 0
    learning_rate: Annotated[
        float, arg(help="Of Adam, decayed to 0 along a cosine.")
    ] = 1e-4
    batch_size: BatchSize = 32
    samples: Annotated[
        int, arg(metavar="COUNT", help="How many inputs to set the ranges from.")
    ] = 512
    ranges: Ranges = "auto"
    equalize: Equalize = False
    bias_correction: BiasCorrection = False
    adaround: AdaRound = 0
    seed: Annotated[int, arg(help="Seed of all shuffling.")] = 1
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq qat", self, epochs=0, batch_size=1, samples=1, adaround=0)
        if self.epochs and (self.adaround or self.bias_correction):
            flag = "--adaround" if self.adaround else "--bias-correction"
            raise ArgumentError(
                f"lq qat: {flag} is for what is not trained, and --epochs is {self.epochs}: "
                "training would move all that it has set.\n"
                f"  Fix: without --epochs, or without {flag}."
            )


def scheme_of(words: Sequence[str]) -> Any:
    """The scheme that the words after `--scheme` mean.

    Raises:
        ArgumentError: patterns and names are mixed.

    Example:
        >>> from larqlite._commands.qat._options import scheme_of
        >>> scheme_of(["int8"]), scheme_of(["conv*=binary", "*=int8"])
        ('int8', {'conv*': 'binary', '*': 'int8'})
    """
    if len(words) == 1 and "=" not in words[0]:
        return words[0]
    if not words or not all("=" in word for word in words):
        raise ArgumentError(
            f"lq qat: --scheme {' '.join(words)}: one name, or patterns each with a "
            'name.\n  Fix: --scheme int8, or --scheme "conv*=binary" "*=int8".'
        )
    return dict(word.rsplit("=", 1) for word in words)
