"""Flags that several commands share."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

Unsafe = FlagCreatePairsOff[
    Annotated[
        bool,
        arg(
            help="Run the code that the model's file carries, such as that of Lambda "
            "layers. For files whose maker you trust."
        ),
    ]
]
Json = FlagCreatePairsOff[
    Annotated[bool, arg(help="Print JSON, for a program to read.")]
]
