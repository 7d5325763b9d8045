"""The command `lq`: summarize, draw, quantize, deploy and verify models, run the demo."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from larqlite._commands.analysis import (
    DiagnoseOptions as Diagnose,
    SearchOptions as Search,
    SensitivityOptions as Sensitivity,
)
from larqlite._commands.deploy import ExportOptions as Export, VerifyOptions as Verify
from larqlite._commands.integer import Integer
from larqlite._commands.plot import (  # the parts of Plot are found here too
    Plot,
    PlotHistory,  # noqa: F401
    PlotQuantizer,  # noqa: F401
    PlotWeights,  # noqa: F401
)
from larqlite._commands.qat import Qat
from larqlite._demo_options import DemoOptions
from larqlite.command_line import (
    CompletionOptions,
    Imports,
    Json,
    Model,
    Place,
    Unsafe,
    import_modules,
    parsed,
    place_of_parser,
    places_of,
    root_of,
    tell,
)
from larqlite_runtime import tables
from larqlite_runtime.commands import (
    COMMANDS as RUNTIME_COMMANDS,
    PARSERS,
    BenchmarkOptions,
    ExplainOptions,
    RunOptions,
    parser_of,
    run_lq,
)

# As wide as the list of quantizers is.
_LINE = 80
PROBES = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Quantizers:
    """List the registered quantizers: name, class, bits, and what they do."""

    json: Json = False
    imports: Imports = ()

    def run(self) -> None:
        tell(lambda: (self._rows(), 0), self.json)

    def _rows(self) -> list[dict[str, Any]]:
        rows = [
            _describe(entry) for entry in _larqlite(self.imports).quantizers.entries()
        ]
        rows.sort(key=lambda row: row["class"] if row["name"] is None else row["name"])
        if not self.json:
            _print_quantizers(rows)
        return rows


@dataclass(frozen=True)
class Summary:
    """Show what every layer of a saved model costs: bits, memory, operations."""

    model: Model
    json: Json = False
    macs: Annotated[bool, arg(help="Count multiply-accumulate operations.")] = True
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        tell(lambda: (self._costs(), 0), self.json)

    def _costs(self) -> dict[str, Any]:
        lq = _larqlite(self.imports)
        model = lq.models.load(self.model, compile=False, safe_mode=not self.unsafe)
        if self.json:
            return lq.models.profile(model).to_dict()
        lq.models.summary(model, include_macs=self.macs)
        return {}


@dataclass(frozen=True)
class Demo(DemoOptions):
    """Train a small binary network on 8,000 real images, deploy it, and measure it."""

    json: Json = False

    def run(self) -> None:
        """Runs the demo with these options, and prints what happens."""
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        from larqlite import demo

        options = dataclasses.asdict(self)
        del options["json"]
        return demo.run(demo.Options(**options)).to_dict()


@dataclass(frozen=True)
class Completion(CompletionOptions):
    """Print what lets a shell complete words: commands, flags, values, files."""

    def run(self) -> None:
        self.show("lq", _places())


COMMANDS: dict[str, Any] = {
    "quantizers": Quantizers,
    "summary": Summary,
    "plot": Plot,
    "sensitivity": Sensitivity,
    "search": Search,
    "qat": Qat,
    "diagnose": Diagnose,
    "integer": Integer,
    "export": Export,
    "verify": Verify,
    "demo": Demo,
    "completion": Completion,
}


Command = (
    Quantizers
    | Summary
    | Plot
    | Sensitivity
    | Search
    | Qat
    | Diagnose
    | Integer
    | Export
    | Verify
    | Demo
    | Completion
    | RunOptions
    | BenchmarkOptions
    | ExplainOptions
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lq`.

    Args:
        arguments: the words after `lq`; those of the process by default.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    run_lq(arguments, lambda: sys.modules[__name__])


def parse(arguments: Sequence[str]) -> Command:
    """The command that the words after `lq` stand for; its `run()` does it.

    Raises:
        SystemExit: with code 2 after a mistake, with 0 after `--help`.
        RuntimeModelError: after a mistake in the words of `run` and `benchmark`.
    """
    name, *words = arguments
    if name in PARSERS:
        return PARSERS[name](words)
    return parsed(COMMANDS[name], f"lq {name}", words)


def _places() -> list[Place]:
    """All that can be said after `lq`."""
    found = [root_of(RUNTIME_COMMANDS)]
    for name, kind in COMMANDS.items():
        found += places_of(kind, [name])
    found += [place_of_parser(parser_of(name), [name]) for name in PARSERS]
    return found


def _larqlite(modules: Sequence[str] = ()):
    """larqlite, after the user's own modules have registered what they define."""
    import_modules("lq", modules)
    import larqlite

    return larqlite


def _describe(entry) -> dict[str, Any]:
    """A registered quantizer as plain data; `values` are those of q at PROBES."""
    import tensorflow as tf

    quantizer = (
        entry.target() if entry.name and isinstance(entry.target, type) else None
    )
    function = quantizer or entry.function
    values = None
    if function is not None:
        column = tf.constant(PROBES)[:, tf.newaxis]
        values = [float(value) for value in function(column).numpy()[:, 0]]
    documentation = (entry.target.__doc__ or "").strip()
    return {
        "name": entry.name,
        "class": entry.target.__name__,
        "aliases": list(entry.aliases),
        "precision": getattr(function, "precision", None),
        "description": _plain(documentation.split("\n")[0]),
        "values": values,
    }


def _plain(text: str) -> str:
    r"""A line of a docstring as a terminal shows it: no signs of LaTeX or code.

    >>> _plain(r"Where $|x| \leq$ `clip_value`: $q(x) = \alpha x$.")
    'Where |x| <= clip_value: q(x) = alpha x.'
    """
    for sign, plain in (("leq", "<="), ("geq", ">="), ("cdot", "*"), ("times", "x")):
        text = re.sub(rf"\\{sign}\b", plain, text)
    return re.sub(r"\$|`|\\(?=[a-z])|\\[,;! ]|[{}]", "", text)


def _print_quantizers(rows: list[dict[str, Any]]) -> None:
    """Two lines for each quantizer: what a program needs, and what a reader does.

    On a narrow terminal the values have a line of their own.
    """
    width = tables.width_of_the_terminal()
    between = "   " if width is None or width > _LINE else "\n    "
    line = "{:<22}{:<20}{:>4}" + between + "{}"
    probes = " ".join(f"{x:g}" for x in PROBES)
    print(line.format("name", "class", "bits", f"values at {probes}"))
    for row in rows:
        name = row["name"] or "(no name)"
        bits = row["precision"] or "-"
        values = " ".join(f"{value:.3g}" for value in row["values"] or ())
        print(line.format(name, row["class"], bits, values or "need arguments"))
        print(f"    {tables.folded(row['description'], indent=4)}")
