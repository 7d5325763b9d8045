"""What the words after `lq export` and `lq verify` mean, and what they do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite.command_line import (
    Json,
    Model,
    Unsafe,
    data_flag,
    import_flag,
    import_modules,
    output_flag,
    require_at_least,
    tell,
)
from larqlite.errors import ArgumentError
from larqlite.outputs import ONNX, require
from larqlite_runtime.commands import HELP, require_file

File = Positional[
    Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help=f"{HELP['file'].rstrip('.')}. With --on the model is exported without it.",
            help_behavior_hint="",
        ),
    ]
]
# Endings of what is written for machines without Python.
_SUFFIXES = {"flat": (".lqflat",)}
# What reads QONNX: everything, or a compiler that has a form of its own.
_QONNX = {"qonnx": None, "hls4ml": "hls4ml", "finn": "finn"}
# What is a folder of files.
_FOLDERS = ("c", "arduino")
Imports = Annotated[tuple[str, ...], import_flag("quantizers, layers and converters")]


@dataclass(frozen=True)
class ExportOptions:
    """Write a saved model as an ONNX file with packed weights."""

    model: Model
    file: Positional[
        Annotated[
            Path | None,
            arg(
                metavar="FILE",
                help="Where to write the .onnx file, or the folder of --to c and arduino, as "
                "--output.",
                help_behavior_hint="",
            ),
        ]
    ] = None
    output: Annotated[
        Path | None, output_flag("Where to write the .onnx file.", "FILE")
    ] = None
    qonnx: FlagCreatePairsOff[
        Annotated[
            bool,
            arg(help="Write QONNX instead: weights as floats, with their quantizers."),
        ]
    ] = False
    to: Annotated[
        Literal["onnx", "flat", "c", "arduino", "qonnx", "hls4ml", "finn"],
        arg(
            help="What to write: flat is one file that C, C++ and WebAssembly run without "
            "Python; c is a folder with the network as C99 for microcontrollers, arduino a "
            "library. MODEL may then be an .onnx file that lq export wrote. qonnx is "
            "--qonnx, and hls4ml and finn are its forms for these compilers of FPGAs.",
        ),
    ] = "onnx"
    name: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="Of the network in C, which its functions and files begin with.",
            help_behavior_hint="(default: that of MODEL)",
        ),
    ] = None
    pixels: FlagCreatePairsOff[
        Annotated[
            bool,
            arg(
                help="Of --to: pictures go in as bytes, which the model scales itself by a "
                "Rescaling; the first layer is computed in whole numbers."
            ),
        ]
    ] = False
    optimize: Annotated[
        Literal["speed", "memory"],
        arg(
            help="Of --to c and arduino: what layers are computed with: few instructions, or "
            "little room."
        ),
    ] = "speed"
    samples: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="Of --to c and arduino: a few inputs, in a file as of --data. Where most "
            "inputs of a packed layer are -1 on these, the others are counted, in fewer "
            "instructions.",
            help_behavior_hint="",
        ),
    ] = None
    verify: Annotated[
        bool,
        arg(
            help="Compare the packed layers with Keras on a few inputs, and write "
            "nothing if one differs."
        ),
    ] = True
    data: Annotated[Path | None, data_flag("to compare on", "random inputs")] = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        if (self.file is None) == (self.output is None):
            said = "two words say" if self.file else "no word says"
            raise ArgumentError(
                f"lq export: {said} where to write.\n"
                f"  Fix: lq export {self.model} FILE, or --output FILE."
            )
        # One attribute for both: the file is the output.
        object.__setattr__(self, "output", self.output or self.file)

    def run(self) -> None:
        """Writes the file, and prints what is in it.

        Raises:
            SystemExit: with code 1 if the file would not compute what the model does.
        """
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        if self.name is not None and self.to not in _FOLDERS:
            raise ArgumentError(
                "lq export: --name is the network's name in C, of which "
                f"--to {self.to} writes none.\n  Fix: leave it out, or --to c."
            )
        if self.optimize != "speed" and self.to not in _FOLDERS:
            raise ArgumentError(
                f"lq export: --optimize {self.optimize} chooses how C computes, of which "
                f"--to {self.to} writes none.\n  Fix: leave it out, or --to c."
            )
        if self.samples is not None and self.to not in _FOLDERS:
            raise ArgumentError(
                "lq export: --samples chooses how C computes, of which "
                f"--to {self.to} writes none.\n  Fix: leave it out, or --to c."
            )
        as_qonnx = self.qonnx or self.to in _QONNX
        if self.to not in ("onnx", *_QONNX):
            return self._for_target()
        if self.pixels:
            raise ArgumentError(
                "lq export: --pixels is for networks that run without Python, as --to flat; "
                "packed files take floats.\n  Fix: leave it out, or --to flat."
            )
        read_files = [path for path in (self.model, self.data) if path is not None]
        require(self.output, ONNX, "lq export", read=read_files)
        if self.data is not None and (as_qonnx or not self.verify):
            said = f"--to {self.to}" if self.to in _QONNX else "--qonnx"
            raise ArgumentError(
                "lq export: --data is for the comparison, which "
                f"{said if as_qonnx else '--no-verify'} leaves out.\n"
                "  Fix: leave one of the two out."
            )
        model = _load(self)
        from larqlite import deploy
        from larqlite._io import read
        from larqlite.deploy.verifier import MOST_GIVEN

        if as_qonnx:
            form = _QONNX.get(self.to)
            deploy.to_qonnx(model, self.output, for_=form)
            size = self.output.stat().st_size
            if not self.json:
                for_ = f" for {form}" if form else ""
                print(f"wrote {self.output} ({size:,} bytes, QONNX{for_})")
            return {"path": str(self.output), "bytes": size}
        data = None
        if self.data is not None:
            found = read(self.data, model.input_names, "lq export")
            data = found.batch(0, MOST_GIVEN)
        try:
            report = deploy.export(model, self.output, data=data, verify=self.verify)
        except deploy.VerificationError as error:
            print(f"lq: {error}", file=sys.stderr)
            raise SystemExit(1) from error
        if not self.json:
            checked = "verified: packed layers compute what they do in Keras"
            print(report)
            print(f"wrote {self.output} ({checked if self.verify else 'not verified'})")
        return report.to_dict() | {"verified": self.verify}

    def _for_target(self) -> dict[str, Any]:
        """Writes the network for machines without Python, of a model or of a packed file."""
        refused = {
            "--qonnx": self.qonnx,
            "--data": self.data,
            "--no-verify": not self.verify,
        }
        if given := [flag for flag, is_given in refused.items() if is_given]:
            raise ArgumentError(
                f"lq export: --to {self.to} goes with no {given[0]}; the model is compared "
                "with its packed file first, on random inputs.\n"
                f"  Fix: leave {given[0]} out, or lq export {self.model} model.onnx "
                f"{given[0]} ..., then lq export model.onnx {self.output} --to {self.to}"
            )
        if self.to not in _FOLDERS:
            require(self.output, _SUFFIXES[self.to], "lq export", read=[self.model])
        is_packed = self.model.suffix.lower() in ONNX
        if is_packed:
            require_file(self.model, "lq export")
        model = self.model if is_packed else _load(self)
        from larqlite import deploy
        from larqlite.deploy.targets.c import identifier

        try:
            if self.to in _FOLDERS:
                write = deploy.to_c if self.to == "c" else deploy.to_arduino
                name = identifier(self.model.stem) if self.name is None else self.name
                report = write(
                    model,
                    self.output,
                    name=name,
                    pixels=self.pixels,
                    optimize=self.optimize,
                    samples=self._samples(model),
                )
            else:
                report = deploy.to_flat(model, self.output, pixels=self.pixels)
        except deploy.VerificationError as error:
            print(f"lq: {error}", file=sys.stderr)
            raise SystemExit(1) from error
        if not self.json:
            print(report)
            print(f"wrote {self.output}")
        return report.to_dict()

    def _samples(self, model: Any) -> dict[str, Any] | None:
        """The first of the inputs that --samples names, by the names of those of the model."""
        if self.samples is None:
            return None
        from larqlite._io import read
        from larqlite.deploy.verifier import MOST_GIVEN
        from larqlite_runtime import load

        if model is self.model:
            names = [tensor.name for tensor in load(model).inputs]
        else:
            names = model.input_names
        found = read(self.samples, names, "lq export", flag="--samples ")
        return found.batch(0, MOST_GIVEN)


@dataclass(frozen=True)
class VerifyOptions:
    """Compare a deployed file with its model, layer by layer. Exit code 1 if it departs."""

    model: Model
    file: File = None
    data: Annotated[Path | None, data_flag("to compare on", "random inputs")] = None
    samples: Annotated[
        int | None,
        arg(
            metavar="COUNT",
            help="How many inputs.",
            help_behavior_hint="(default: 4 random ones; all that the data has)",
        ),
    ] = None
    stock: Annotated[bool, arg(help="Run everything on a stock ONNX Runtime too.")] = (
        True
    )
    precision: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="Run the whole file with float layers in this precision too: bf16 or "
            "int8-input.",
            help_behavior_hint="(default: float32 only)",
        ),
    ] = None
    on: Annotated[
        tuple[str, ...],
        arg(
            metavar="TARGET",
            help="Run it on several targets instead, and print one table: keras, "
            "onnxruntime, native, c, ..., or all, with commas or blanks between.",
            help_behavior_hint="",
        ),
    ] = ()
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq verify", self, samples=1)
        if self.on and (self.precision or not self.stock):
            said = "--no-stock" if self.precision is None else "--precision"
            raise ArgumentError(
                f"lq verify: {said} says nothing where --on names the targets.\n"
                "  Fix: leave one of the two out."
            )
        if not self.on and self.file is None:
            raise ArgumentError(
                "lq verify: no word says which FILE to compare with the model.\n"
                f"  Fix: lq verify {self.model} FILE, or --on TARGET."
            )

    def run(self) -> None:
        """Prints the table of the comparison.

        Raises:
            SystemExit: with code 1 if a layer or a label differs.
        """
        tell(self._run, self.json)

    def _run(self) -> tuple[dict[str, Any], int]:
        if self.file is not None:
            require_file(self.file, "lq verify")
        model = _load(self)
        from larqlite import deploy
        from larqlite._io import read

        data = None
        if self.data is not None:
            found = read(self.data, model.input_names, "lq verify")
            data = found.batch(0, self.samples or found.samples)
        if self.on:
            result = deploy.verify_on(
                model, self.on, data, file=self.file, samples=self.samples or 4
            )
            if not self.json:
                print(result)
            return result.to_dict(), int(not result.ok)
        result = deploy.verify(
            model,
            self.file,
            data,
            samples=self.samples or 4,
            stock=self.stock,
            precision=self.precision,
        )
        if not self.json:
            print(result)
        return result.to_dict(), int(not result.ok)


def _load(options: ExportOptions | VerifyOptions):
    from larqlite import models

    import_modules("lq", options.imports)
    return models.load(options.model, compile=False, safe_mode=not options.unsafe)
