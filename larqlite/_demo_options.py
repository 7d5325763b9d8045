"""What can be chosen about a run of the demo, without TensorFlow: the flags of `lq demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from larqlite.command_line import output_flag
from larqlite.errors import ArgumentError

BATCH = 100
LIMITS = {"epochs": (1, 1000), "train_images": (BATCH, 8000), "test_images": (1, 2000)}


@dataclass(frozen=True)
class DemoOptions:
    """How the demo trains, and on what; each field is a flag.

    Raises:
        ArgumentError: fewer than one epoch, or more images than there are.
    """

    epochs: Annotated[int, arg(help="How often to go through the training images.")] = (
        16
    )
    output: Annotated[Path, output_flag("Where to write.", metavar="FOLDER")] = Path(
        "runs/demo"
    )
    input_quantizer: Annotated[
        str, arg(metavar="NAME", help="What binarizes the inputs of the inner layers.")
    ] = "approx_sign"
    kernel_quantizer: Annotated[
        str, arg(metavar="NAME", help="What binarizes their kernels.")
    ] = "ste_sign"
    seed: Annotated[
        int, arg(help="Seed of the first weights and of all shuffling.")
    ] = 1
    train_images: Annotated[int, arg(help="How many training images to use.")] = 8000
    test_images: Annotated[int, arg(help="How many test images to use.")] = 2000
    float_twin: FlagCreatePairsOff[
        Annotated[
            bool,
            arg(
                help="Train the float twin instead (no quantizers, ReLU in their "
                "place), and write its accuracy to float_twin.json."
            ),
        ]
    ] = False

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                flag = "--" + name.replace("_", "-")
                raise ArgumentError(
                    f"lq demo: {flag} {value} is out of range.\n"
                    f"  Fix: a number from {least} to {most}."
                )
