"""What the commands `lq export` and `lq verify` do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import larqlite as lq
from larqlite import models
from larqlite._commands.deploy import Export, Verify
from larqlite.command_line import import_modules
from larqlite.deploy import VerificationError
from larqlite.deploy.verifier._run import MOST_GIVEN
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.outputs import ONNX, require
from larqlite_runtime.commands._data import read


def export(options: Export) -> None:
    """Writes the file, and prints what is in it.

    Raises:
        SystemExit: with code 1 if the file would not compute what the model does.
    """
    read_files = [path for path in (options.model, options.data) if path is not None]
    require(options.output, ONNX, "lq export", read=read_files)
    if options.data is not None and (options.qonnx or not options.verify):
        raise ArgumentError(
            "lq export: --data is for the comparison, which "
            f"{'--qonnx' if options.qonnx else '--no-verify'} leaves out.\n"
            "  Fix: leave one of the two out."
        )
    model = _load(options)
    if options.qonnx:
        lq.deploy.to_qonnx(model, options.output)
        size = options.output.stat().st_size
        if options.json:
            print(json.dumps({"path": str(options.output), "bytes": size}, indent=2))
        else:
            print(f"wrote {options.output} ({size:,} bytes, QONNX)")
        return
    data = None
    if options.data is not None:
        found = read(options.data, model.input_names, "lq export")
        data = found.batch(0, MOST_GIVEN)
    try:
        report = lq.deploy.export(
            model, options.output, data=data, verify=options.verify
        )
    except VerificationError as error:
        print(f"lq: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    if options.json:
        print(json.dumps(report.to_dict() | {"verified": options.verify}, indent=2))
        return
    print(report)
    checked = "verified: packed layers compute what they do in Keras"
    print(f"wrote {options.output} ({checked if options.verify else 'not verified'})")


def verify(options: Verify) -> None:
    """Prints the comparison.

    Raises:
        SystemExit: with code 1 if a layer or a label differs.
    """
    _require_file(options.file, "lq verify")
    model = _load(options)
    data = None
    if options.data is not None:
        found = read(options.data, model.input_names, "lq verify")
        data = found.batch(0, options.samples or found.samples)
    result = lq.deploy.verify(
        model,
        options.file,
        data,
        samples=options.samples or 4,
        stock=options.stock,
    )
    print(json.dumps(result.to_dict(), indent=2) if options.json else result)
    if not result.ok:
        raise SystemExit(1)


def _load(options: Export | Verify):
    import_modules("lq", options.imports)
    return models.load(options.model, compile=False, safe_mode=not options.unsafe)


def _require_file(path: Path, where: str) -> None:
    if not path.is_file():
        raise MissingFileError(
            f"{where}: there is no file {path}.\n  Fix: lq export MODEL {path}"
        )
