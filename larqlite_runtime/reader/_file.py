"""Reads a packed model: bytes of a file into a `CheckedGraph`."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable

from larqlite_runtime._errors import MissingModelFileError, ModelFileError, quoted
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.reader import _budget, _foreign, _shapes
from larqlite_runtime.reader._build import WRITE_AGAIN, build, check_declared
from larqlite_runtime.reader._wire import DAMAGED, decode
from larqlite_runtime.reader.operators import OPERATORS, OPSETS

MAX_BYTES = (2 << 30) - 1  # of a file; the format has no larger ones
IR_VERSIONS = range(8, 12)
LAYERS = "larqlite.layers"  # the metadata that describes each packed layer
MOST_OF_A_PATH = 1000  # characters of it in a message
MAX_LAYERS = 4_000_000  # characters of it; objects of JSON take many times their text


def read(
    path_or_bytes: str | os.PathLike | bytes,
    budget: int = _budget.DEFAULT_BUDGET,
    batch: int = 1,
) -> CheckedGraph:
    """The model in a file, after every check.

    Nothing is allocated that the file could make larger than a small multiple of its own
    size or than `budget`, and no other file is opened.

    Args:
        path_or_bytes: of a packed model that `lq.deploy.export` wrote.
        budget: most bytes that the model may need; see `_budget.memory`.
        batch: samples that run together, for the budget.

    Raises:
        ModelFileError: there is no such file, it is no packed model, is damaged, asks for
            too much, or has operations that the runtime does not know.
    """
    data, source = _data(path_or_bytes, budget)
    try:
        _foreign.refuse_bytes(data, source)
        model = decode("Model", data)
        _foreign.refuse_model(model, source)
        domains = _check_versions(model)
        _check_functions(model.get("functions", ()))
        graph = build(model["graph"], budget)
        _check_domains(graph, domains)
        graph.metadata = _metadata(model.get("metadata_props", ()))
        costs = _shapes.infer(graph)
        graph.products = {cost.node.name: cost.macs for cost in costs if cost.macs}
        check_declared(graph, model["graph"])
        _budget.check(graph, costs, budget, batch)
    except ModelFileError as error:
        raise ModelFileError(f"{source}: {error}") from None
    return graph


def _data(path_or_bytes, budget: int) -> tuple[bytes, str]:
    """The bytes, and a name for them."""
    if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
        data, source = bytes(path_or_bytes), "the model (bytes)"
        _check_size(len(data), source, budget)
        return data, source
    try:
        path = os.fspath(path_or_bytes)
    except TypeError:
        raise ModelFileError(
            f"a model is a path or bytes, not {type(path_or_bytes).__name__}.\n  Fix: "
            "give the path of a file, or what `open(path, 'rb').read()` returns."
        ) from None
    source = quoted(path, "", longest=MOST_OF_A_PATH)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            fix = "give the path of the .onnx file itself."
            if os.path.isfile(os.path.join(path, "saved_model.pb")):
                kind = "a folder with a TensorFlow SavedModel"
                fix = "pack it: lq.deploy.export(lq.models.load(path), 'model.onnx')."
            raise ModelFileError(f"{source} is {kind}.\n  Fix: {fix}")
        _check_size(found.st_size, source, budget)
        with open(path, "rb") as file:
            data = file.read(found.st_size + 1)
    except FileNotFoundError:
        raise MissingModelFileError(
            f"{source}: there is no such file.\n  Fix: check the path; it is looked up "
            f"from {os.getcwd()}."
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(
            f"{source} can't be read: {reason}.\n  Fix: check its name and permissions."
        ) from None
    return data, source


def _check_size(size: int, source: str, budget: int) -> None:
    if size == 0:
        raise ModelFileError(f"{source}: it is empty" + DAMAGED)
    if size > MAX_BYTES:
        raise ModelFileError(
            f"{source}: it has {size:,} bytes; a model has at most {MAX_BYTES:,}"
            + DAMAGED
        )
    if size > budget:
        raise ModelFileError(
            f"{source}: it has {size:,} bytes, more than the budget of {budget:,}.\n"
            "  Fix: if the file is yours, give `budget=` a larger number."
        )


def _check_versions(model: dict) -> set[str]:
    """The domains of operations that the file may use."""
    version = model.get("ir_version", 0)
    if version not in IR_VERSIONS:
        raise ModelFileError(
            f"it has the format version (ir_version) {version}; "
            f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]} are supported" + _way_out(model)
        )
    if "graph" not in model:
        raise ModelFileError("it has no graph" + DAMAGED)
    found: dict[str, int] = {}
    for item in model.get("opset_import", ()):
        domain = _domain(item.get("domain", ""))
        shown = quoted(domain or "ai.onnx")
        if domain in found:
            raise ModelFileError(f"it names the opset {shown} twice" + DAMAGED)
        found[domain] = version = item.get("version", 0)
        if domain not in OPSETS:
            raise ModelFileError(
                f"it uses operations of {shown}; a packed model has standard operations "
                f"and those of {DOMAIN}" + _way_out(model)
            )
        if version not in OPSETS[domain]:
            *first, last = map(str, OPSETS[domain])
            known = f"{', '.join(first)} and {last}" if first else last
            raise ModelFileError(
                f"it uses version {version} of the operations {shown}; this runtime knows "
                f"version {known}" + _way_out(model)
            )
    if "" not in found:
        raise ModelFileError(
            'it names no version of the operations "ai.onnx"' + DAMAGED
        )
    return set(found)


def _way_out(model: dict) -> str:
    """What helps with a file of versions or operations that this runtime does not know."""
    # A file without packed layers need not be one of larqlite.
    is_ours = any(
        item.get("domain") == DOMAIN for item in model.get("opset_import", ())
    )
    return WRITE_AGAIN + (
        " Or update larqlite_runtime, if the file is newer."
        if is_ours
        else " A file of another program: run it with onnxruntime."
    )


def _check_domains(graph: CheckedGraph, domains: set[str]) -> None:
    for node in graph.nodes:
        if node.domain not in domains:
            raise ModelFileError(
                f"node {quoted(node.name)} uses operations of {quoted(node.domain)}, of "
                "which the file names no version" + DAMAGED
            )


def _check_functions(functions: Iterable[dict]) -> None:
    """Functions may be only those that the runtime knows; their bodies are not read."""
    seen = set()
    for item in functions:
        domain, name = _domain(item.get("domain", "")), item.get("name", "")
        if domain != DOMAIN or name not in OPERATORS[DOMAIN] or item.get("overload"):
            raise ModelFileError(
                f"it defines the function {quoted(name)} of the domain {quoted(domain)}, "
                "which this runtime does not know" + WRITE_AGAIN
            )
        if name in seen:
            raise ModelFileError(
                f"it defines the function {quoted(name)} twice" + DAMAGED
            )
        seen.add(name)


def _metadata(entries: Iterable[dict]) -> dict[str, str]:
    result: dict[str, str] = {}
    for item in entries:
        key = item.get("key", "")
        if key in result:
            raise ModelFileError(f"its metadata has {quoted(key)} twice" + DAMAGED)
        result[key] = item.get("value", "")
    text, layers = result.get(LAYERS, "[]"), None
    if len(text) <= MAX_LAYERS:
        with contextlib.suppress(ValueError, RecursionError):
            layers = json.loads(text)
    if not isinstance(layers, list) or not all(isinstance(x, dict) for x in layers):
        raise ModelFileError(
            f"its metadata {quoted(LAYERS)} is no list of descriptions in JSON, of at most "
            f"{MAX_LAYERS:,} characters" + DAMAGED
        )
    return result


def _domain(name: str) -> str:
    """The standard operations have two names."""
    return "" if name == "ai.onnx" else name


class ModelSource:
    """Reads a file, and the same file again, wherever the process has gone since.

    Attributes:
        budget: most bytes that the model may need.
    """

    def __init__(self, path_or_bytes, budget: int) -> None:
        self.budget = budget
        self._given = path_or_bytes
        self._path: str | bytes | None = None
        if isinstance(path_or_bytes, (bytearray, memoryview)):
            self._given = bytes(path_or_bytes)  # its owner may change it
        elif isinstance(path_or_bytes, (str, os.PathLike)):
            self._path = os.path.abspath(os.fspath(path_or_bytes))
        self._seen: tuple | None = None

    def __call__(self) -> CheckedGraph:
        self._require_same()
        graph = read(self._given, budget=self.budget)
        if self._path is not None:
            self._given, self._seen = self._path, self._state()
        return graph

    @property
    def size(self) -> int:
        """Bytes of the file, as it was read; 0 if it has gone since."""
        if self._path is None:
            return len(self._given)
        return 0 if self._seen is None else self._seen[0]

    def data(self) -> bytes:
        """The bytes of the file."""
        if self._path is None:
            return bytes(self._given)
        self._require_same()
        with open(self._path, "rb") as file:
            return file.read()

    def _state(self) -> tuple | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _require_same(self) -> None:
        if self._seen is not None and self._state() != self._seen:
            raise ModelFileError(
                f"{os.fsdecode(self._path)}: the file has changed since it was loaded; a forked or "
                "pickled model needs it again.\n  Fix: leave the file in place, or load "
                "the model from its bytes."
            )
