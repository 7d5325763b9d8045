"""What `lq integer` takes on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from tyro.conf import FlagCreatePairsOff, arg

from larqlite.command_line import (
    AdaRound,
    BatchSize,
    BiasCorrection,
    Equalize,
    Imports,
    Json,
    Ranges,
    Unsafe,
    data_flag,
    output_flag,
    require_at_least,
)
from larqlite.errors import ArgumentError
from larqlite_runtime.former_flags import FormerFlag, is_no_number, is_number

Model = Annotated[
    Path,
    arg(aliases=("-m",), metavar="MODEL", help="A saved model: .keras or .h5."),
]
FloatModel = Annotated[
    Path,
    arg(
        aliases=("-m",),
        metavar="MODEL",
        help="A saved float model: .keras, .h5, .onnx.",
    ),
]
Data = Annotated[
    Path | None,
    data_flag(
        "as the model is fed (several arrays are taken one after the other)",
        "random inputs",
    ),
]
Samples = Annotated[
    int,
    arg(aliases=("-n",), metavar="COUNT", help="How many samples are used, or made."),
]
# All of these commands called the data samples, and their number num-samples.
_OF_DATA = (
    FormerFlag("--samples", "--data", is_no_number),
    FormerFlag("--num-samples", "--samples"),
)


def _bits(alias: str, text: str):
    return arg(aliases=(alias,), metavar="BITS", help=text)


@dataclass(frozen=True)
class Quantize:
    """Quantize a saved float model: Keras or ONNX. Prints the integers of its layers."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = (
        *_OF_DATA,
        FormerFlag("-o", "--output-bits", is_number),
        FormerFlag("--save", "--output"),
        FormerFlag("-s", "--output"),
    )

    model: FloatModel
    config: Annotated[
        Path | None,
        arg(
            aliases=("-c",),
            metavar="FILE",
            help="A .json of `lq integer config`: configurations by name of the layer, "
            "in place of the bits below.",
            help_behavior_hint="",
        ),
    ] = None
    activation_bits: Annotated[int, _bits("-a", "What follows a ReLU.")] = 8
    per_tensor_activations: FlagCreatePairsOff[
        Annotated[bool, arg(help="One range for all channels of an activation.")]
    ] = False
    weight_bits: Annotated[int, _bits("-w", "Kernels; 1 is binary, 2 is ternary.")] = 8
    input_weight_bits: Annotated[int, _bits("-i", "The first kernel.")] = 8
    output_bits: Annotated[
        int, arg(metavar="BITS", help="Outputs of other layers.")
    ] = 8
    buffer_bits: Annotated[int, _bits("-b", "The widest accumulator.")] = 32
    output: Annotated[
        Path | None,
        output_flag(
            "Where to write the integer model.",
            "beside MODEL, MODEL_i8_w8_a8 or MODEL_CONFIG",
        ),
    ] = None
    data: Data = None
    samples: Samples = 1024
    batch_size: BatchSize = 32
    epochs: Annotated[
        int,
        arg(aliases=("-e",), metavar="COUNT", help="How often to go through them."),
    ] = 1
    ranges: Ranges = "auto"
    equalize: Equalize = False
    bias_correction: BiasCorrection = False
    adaround: AdaRound = 0
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        least = {"samples": 1, "batch_size": 1, "epochs": 1, "adaround": 0}
        require_at_least("lq integer quantize", self, **least)


@dataclass(frozen=True)
class Config:
    """Write the configuration of an integer model as JSON, for `quantize --config`."""

    model: Model
    output: Annotated[Path | None, output_flag("Where to write it.", "print it")] = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False


@dataclass(frozen=True)
class Check:
    """Name what is wrong with an integer model, and what of it computes in float. Exit
    code 1 if there is anything."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = _OF_DATA

    model: Model
    data: Data = None
    samples: Samples = 1024
    batch_size: BatchSize = 32
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq integer check", self, samples=1, batch_size=1)


@dataclass(frozen=True)
class InsertRescaling:
    """Put `scale * x + offset` in front of a saved float model."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = (
        FormerFlag("-o", "--offset", is_number),
        FormerFlag("--destination", "--output"),
        FormerFlag("-d", "--output"),
    )

    model: Model
    output: Annotated[Path, output_flag("Where to write the model: .keras, .h5.")]
    scale: Annotated[
        tuple[float, ...],
        arg(aliases=("-s",), metavar="SCALE", help="One, or one for each channel."),
    ]
    offset: Annotated[
        tuple[float, ...],
        arg(metavar="OFFSET", help="One, or one for each channel."),
    ] = (0.0,)
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            if not getattr(self, name):
                raise ArgumentError(
                    f"lq integer insert-rescaling: --{name} has no number.\n"
                    f"  Fix: --{name} 0.0039, or one number for each channel."
                )


@dataclass(frozen=True)
class ExportInteger:
    """Write an integer model for other engines. Exit code 1 if `onnx` is not exact."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = _OF_DATA

    model: Model
    to: Annotated[
        Literal["onnx", "qdq", "tflite"],
        arg(
            help="ONNX of integer operations, the same bits; ONNX with QuantizeLinear and "
            "DequantizeLinear; or int8 TFLite."
        ),
    ]
    output: Annotated[Path, output_flag("Where to write it.")]
    data: Annotated[Path | None, data_flag("to compare on")] = None
    input_dtype: Annotated[
        Literal["uint8", "int8", "int32", "float32"] | None,
        arg(
            help="Which integers come in; files of `qdq` and `tflite` take float32 that "
            "holds uint8 or int8.",
            help_behavior_hint="(default: what the model was calibrated with)",
        ),
    ] = None
    samples: Samples = 1024
    batch_size: BatchSize = 32
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq integer export", self, samples=1, batch_size=1)
