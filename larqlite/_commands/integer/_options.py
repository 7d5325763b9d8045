"""What `lq integer` takes on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from larqlite.command_line import Imports, Json, Unsafe, require_at_least
from larqlite.errors import ArgumentError

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
Samples = Annotated[
    Path | None,
    arg(
        metavar="FILE",
        help="A .npz with real inputs: all arrays in it, one after the other (without "
        "the labels y beside x); or an array for each input, by its name.",
        help_behavior_hint="(default: random inputs)",
    ),
]
NumSamples = Annotated[
    int,
    arg(aliases=("-n",), metavar="COUNT", help="How many samples are used, or made."),
]
BatchSize = Annotated[int, arg(metavar="COUNT", help="Samples at once.")]


def _bits(alias: str, text: str):
    return arg(aliases=(alias,), metavar="BITS", help=text)


@dataclass(frozen=True)
class Quantize:
    """Quantize a saved float model: Keras or ONNX. Prints the integers of its layers."""

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
    output_bits: Annotated[int, _bits("-o", "Outputs of other layers.")] = 8
    buffer_bits: Annotated[int, _bits("-b", "The widest accumulator.")] = 32
    save: Annotated[
        Path | None,
        arg(
            aliases=("-s",),
            metavar="FILE",
            help="Where to write the integer model.",
            help_behavior_hint="(default: beside MODEL, MODEL_i8_w8_a8 or MODEL_CONFIG)",
        ),
    ] = None
    samples: Samples = None
    num_samples: NumSamples = 1024
    batch_size: BatchSize = 32
    epochs: Annotated[
        int,
        arg(aliases=("-e",), metavar="COUNT", help="How often to go through them."),
    ] = 1
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least(
            "lq integer quantize", self, num_samples=1, batch_size=1, epochs=1
        )


@dataclass(frozen=True)
class Config:
    """Write the configuration of an integer model as JSON, for `quantize --config`."""

    model: Model
    output: Annotated[
        Path | None,
        arg(
            aliases=("-o",),
            metavar="FILE",
            help="Where to write it.",
            help_behavior_hint="(default: print it)",
        ),
    ] = None
    imports: Imports = ()
    unsafe: Unsafe = False


@dataclass(frozen=True)
class Check:
    """Name what is wrong with an integer model, and what of it computes in float. Exit
    code 1 if there is anything."""

    model: Model
    samples: Samples = None
    num_samples: NumSamples = 1024
    batch_size: BatchSize = 32
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq integer check", self, num_samples=1, batch_size=1)


@dataclass(frozen=True)
class InsertRescaling:
    """Put `scale * x + offset` in front of a saved float model."""

    model: Model
    destination: Annotated[
        Path,
        arg(
            aliases=("-d",),
            metavar="FILE",
            help="Where to write the model: .keras, .h5.",
        ),
    ]
    scale: Annotated[
        tuple[float, ...],
        arg(aliases=("-s",), metavar="SCALE", help="One, or one for each channel."),
    ]
    offset: Annotated[
        tuple[float, ...],
        arg(aliases=("-o",), metavar="OFFSET", help="One, or one for each channel."),
    ] = (0.0,)
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

    model: Model
    to: Annotated[
        Literal["onnx", "qdq", "tflite"],
        arg(
            help="ONNX of integer operations, the same bits; ONNX with QuantizeLinear and "
            "DequantizeLinear; or int8 TFLite."
        ),
    ]
    output: Annotated[
        Path, arg(aliases=("-o",), metavar="FILE", help="Where to write it.")
    ]
    samples: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="A .npz with inputs to compare on, as for `quantize`.",
            help_behavior_hint="",
        ),
    ] = None
    input_dtype: Annotated[
        Literal["uint8", "int8", "int32", "float32"] | None,
        arg(
            help="Which integers come in; files of `qdq` and `tflite` take float32 that "
            "holds uint8 or int8.",
            help_behavior_hint="(default: what the model was calibrated with)",
        ),
    ] = None
    num_samples: NumSamples = 1024
    batch_size: BatchSize = 32
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq integer export", self, num_samples=1, batch_size=1)
