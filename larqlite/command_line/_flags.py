"""Flags that several commands share, and what is asked of their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite.errors import ArgumentError


def import_flag(what: str) -> Any:
    """The flag `--import MODULE ...` of a command.

    Args:
        what: what the modules may register.
    """
    return arg(
        name="import",
        metavar="MODULE",
        help=f"Modules that register your own {what}.",
        help_behavior_hint="",
    )


def data_flag(use: str, default: str = "") -> Any:
    """The flag `--data FILE` of a command.

    Args:
        use: what the data are for, as a sentence goes on behind "Inputs".
        default: what is taken without it.
    """
    return arg(
        metavar="FILE",
        help=f"Inputs {use}: a .npz with x (or an array for each input, by its name) and "
        "perhaps y, or x_train, y_train, x_test, y_test; a .npy; or fashion_mnist.",
        help_behavior_hint=f"(default: {default})" if default else "",
    )


def output_flag(what: str, default: str = "", metavar: str = "FILE") -> Any:
    """The flag `-o FILE`, `--output FILE` of a command.

    Args:
        what: is said of it.
        default: where it goes without it.
        metavar: FILE or FOLDER.
    """
    hint = {"help_behavior_hint": f"(default: {default})"} if default else {}
    return arg(aliases=("-o",), metavar=metavar, help=what, **hint)


Imports = Annotated[tuple[str, ...], import_flag("quantizers and layers")]
BatchSize = Annotated[int, arg(metavar="COUNT", help="Samples at once.")]
Json = FlagCreatePairsOff[
    Annotated[bool, arg(help="Print JSON, for a program to read.")]
]
Model = Positional[
    Annotated[
        Path, arg(metavar="MODEL", help="A saved model: .keras, .h5 or a folder.")
    ]
]
Unsafe = FlagCreatePairsOff[
    Annotated[
        bool,
        arg(
            help="Run the code that the model's file carries, such as that of Lambda "
            "layers. For files whose maker you trust."
        ),
    ]
]

# What is done after training, in `lq qat` and `lq integer quantize`.
Ranges = Annotated[
    Literal["auto", "minmax", "moving_average", "mse", "percentile", "entropy"],
    arg(
        help="What ranges are: extremes, means of extremes, those of the least squared "
        "error, 99.99 percent of the values, those of the least divergence. auto: what "
        "comes nearest to the float model of the extremes and, below 8 bits, mse."
    ),
]
Equalize = FlagCreatePairsOff[
    Annotated[bool, arg(help="First make the ranges of kernels in a row equal.")]
]
BiasCorrection = FlagCreatePairsOff[
    Annotated[bool, arg(help="Take the mean error of rounding off the biases.")]
]
AdaRound = Annotated[
    int,
    arg(
        metavar="STEPS",
        help="Learn in so many steps for each layer which weights are rounded up, without "
        "labels, and correct biases; 1000 is usual.",
    ),
]


def require_at_least(where: str, options: Any, **least: int) -> None:
    """Refuses numbers that are too small; None is no number.

    Args:
        where: the command, for the message.
        options: its dataclass.
        least: the smallest number of each of its fields.

    Raises:
        ArgumentError: by name.
    """
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            flag = "--" + name.replace("_", "-")
            raise ArgumentError(
                f"{where}: {flag} {value} is out of range.\n"
                f"  Fix: a number from {smallest} up."
            )
