"""Counts what tells whether a stranger finds the way: `make structure`.

    python tools/structure.py                  # the figures of this tree
    python tools/structure.py --base b76ecd3   # beside those of a commit
    python tools/structure.py --list           # and every finding, by name

A module `_name` is private to its folder and to the folders below. Everybody else imports
from the folder's `__init__`, or from a module of `doors.py`, which says why it is one.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("larqlite", "larqlite_runtime", "larqlite_zoo")
SHORT, LONG = 60, 500
# What a Keras model's nodes were called with, and the way from one to the next.
NODES = {"call_args", "call_kwargs", "keras_inputs", "inbound_nodes", "_nodes_by_depth"}
SMALL = ("__init__.py", "__main__.py", "internal.py")

# Tables by layer class that say what is made of a layer; others say what is true of it,
# which `larqlite.graph.facts_of` knows.
REGISTRIES = {
    "larqlite.from_keras._layers.RULES": "the layer in its place",
    "larqlite.from_keras._sample_inputs._READING_INDICES": "the random inputs it takes",
    "larqlite.deploy.converters._merge.OPERATIONS": "the ONNX operation",
    "larqlite.models._kinds._OF_KERAS": "the formula that counts it",
    "larqlite.models._kinds._WITH_PRODUCTS": "the formula that counts it",
    "larqlite.qat.lowerings._table.TABLE": "the function that computes it in inference",
    "larqlite.qat.passes.binary.QUANT_CLASS": "the Quant layer in its place",
    "larqlite.qat.passes.separable.SEPARABLE": "the two layers in its place",
    "larqlite.qat.schemes._rules._NOTHING_TO_QUANTIZE": "what a scheme quantizes of it",
    "larqlite.qat.schemes._rules._OF_KERAS": "what a scheme quantizes of it",
    "larqlite.qat.schemes._rules._OUTPUTS_ONLY": "what a scheme quantizes of it",
}
_CLASS_IN_TEXT = re.compile(r"\b[A-Z]\w+[123]D(?:Transpose)?\b")


@dataclass(frozen=True)
class Import:
    """A name that one module of these packages takes out of another."""

    reader: str
    module: str
    name: str
    line: int


@dataclass
class Structure:
    """The modules of a tree, and how they read each other.

    Attributes:
        files: path of every module, by its name.
        imports: wherever they stand: in functions and under `TYPE_CHECKING` as well.
        classes: the modules that define a class of a name.
        lines: how many a module has.
        leading: modules that have nothing of their own, only names of others.
        onnx_graphs: classes of `larqlite` that hold the nodes of an ONNX graph themselves.
        walkers: modules that follow the nodes of Keras models by themselves, where
            `larqlite.graph.follow` would.
        layer_tables: tables by layer class, but for registries.
    """

    files: dict[str, Path] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lines: dict[str, int] = field(default_factory=dict)
    leading: set[str] = field(default_factory=set)
    onnx_graphs: list[str] = field(default_factory=list)
    walkers: list[str] = field(default_factory=list)
    layer_tables: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> Structure:
        """Reads the Python files of the packages; nothing is imported."""
        found = cls()
        for path in sorted(p for name in PACKAGES for p in (root / name).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found.files[".".join(parts)] = path
        for name, path in found.files.items():
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
            found.lines[name] = text.count("\n")
            found.imports += found._imports_of(name, tree)
            if all(_only_leads(node) for node in tree.body):
                found.leading.add(name)
            if _follows_keras(tree):
                found.walkers.append(name)
            tables = [f"{name}.{table}" for table in _tables_by_class(tree)]
            found.layer_tables += [one for one in tables if one not in REGISTRIES]
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    found.classes[node.name].append(name)
                    if _speaks_onnx(name, tree) and _holds_nodes(node):
                        found.onnx_graphs.append(f"{name}.{node.name}")
        return found

    def folder(self, module: str) -> str:
        """The package that a module lies in; a package lies in itself."""
        is_package = self.files[module].name == "__init__.py"
        return module if is_package else module.rpartition(".")[0]

    def _imports_of(self, reader: str, tree: ast.Module) -> Iterator[Import]:
        for node in _statements(tree.body):
            if isinstance(node, ast.Import):
                pairs = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                pairs = [(node.module, alias.name) for alias in node.names]
            else:
                continue
            for module, name in pairs:
                whole = f"{module}.{name}"
                target = whole if whole in self.files else module
                if target in self.files and target != reader:
                    yield Import(reader, target, name, node.lineno)

    def across(self) -> list[Import]:
        """Imports out of folders that the reader does not lie in or below."""
        found = []
        for item in self.imports:
            home, reader = self.folder(item.module), self.folder(item.reader)
            if reader != home and not reader.startswith(f"{home}."):
                found.append(item)
        return found

    def private_across(self) -> list[Import]:
        """Of these, the ones out of `_private` modules."""
        return [item for item in self.across() if _is_private(item, self)]

    def past_the_doors(self, doors: dict[str, str]) -> list[Import]:
        """Of these, the ones that are neither out of an `__init__` nor out of a door."""
        return [
            item
            for item in self.across()
            if self.files[item.module].name != "__init__.py"
            and item.module not in doors
        ]

    def circles(self) -> list[list[str]]:
        """Sets of files that read each other, directly or through others (Tarjan)."""
        reads: dict[str, list[str]] = defaultdict(list)
        for item in self.imports:
            reads[item.reader].append(item.module)
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        path: list[str] = []
        found: list[list[str]] = []

        def visit(module: str) -> None:
            index[module] = low[module] = len(index)
            path.append(module)
            for other in reads[module]:
                if other not in index:
                    visit(other)
                    low[module] = min(low[module], low[other])
                elif other in path:
                    low[module] = min(low[module], index[other])
            if low[module] == index[module]:
                at = path.index(module)
                circle, path[at:] = path[at:], []
                if len(circle) > 1:
                    found.append(sorted(circle))

        for module in self.files:
            if module not in index:
                visit(module)
        return sorted(found)

    def homonyms(self) -> dict[str, list[str]]:
        """Names of classes that several modules define; names with `_` are their own."""
        return {
            name: modules
            for name, modules in sorted(self.classes.items())
            if len(modules) > 1 and not name.startswith("_")
        }

    def short(self) -> list[str]:
        """Files under 60 lines, but for those that only lead elsewhere."""
        return [
            name
            for name, count in self.lines.items()
            if count < SHORT
            and self.files[name].name not in SMALL
            and name not in self.leading
        ]

    def long(self) -> list[str]:
        """Files over 500 lines."""
        return [name for name, count in self.lines.items() if count > LONG]

    def figures(self) -> dict[str, float]:
        """What `make structure` prints, by name."""
        names = {(item.module, item.name) for item in self.private_across()}
        return {
            "files": len(self.files),
            "lines": sum(self.lines.values()),
            "median lines of a file": statistics.median(self.lines.values()),
            f"files under {SHORT} lines": len(self.short()),
            f"files over {LONG} lines": len(self.long()),
            "private names imported across packages": len(names),
            "circles of files": len(self.circles()),
            "files in circles": sum(map(len, self.circles())),
            "names of several classes": len(self.homonyms()),
            "classes of ONNX graphs": len(self.onnx_graphs),
            "walkers of Keras models": len(self.walkers),
            "tables by layer class": len(self.layer_tables),
        }


def _follows_keras(tree: ast.Module) -> bool:
    """Whether a module reads the nodes of Keras models, or asks for them in order."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in NODES)
        or (isinstance(node, ast.Name) and node.id == "nodes_of")
        for node in ast.walk(tree)
    )


def _tables_by_class(tree: ast.Module) -> Iterator[str]:
    """The names of a module whose values list several layer classes."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = ast.unparse(target)
            if name != "__all__" and len(_classes_in(node.value)) > 1:
                yield name


def _classes_in(value: ast.expr) -> set[str]:
    """Names of layer classes in an expression: `layers.Conv2D`, or words of a text."""
    found: set[str] = set()
    for node in ast.walk(value):
        if isinstance(node, ast.Attribute) and node.attr[0].isupper():
            owner = ast.unparse(node.value).rpartition(".")[2]
            found |= {node.attr} if owner in ("layers", "K", "experimental") else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(_CLASS_IN_TEXT.findall(node.value))
    return found


def _only_leads(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, an import, or the list of public names."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _speaks_onnx(module: str, tree: ast.Module) -> bool:
    """Whether a module of `larqlite` imports onnx, or the home of its graphs."""
    names = [
        name
        for node in _statements(tree.body)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(a.name for a in node.names)]
    ]
    return module.startswith("larqlite.") and any(
        name == "onnx" or str(name).startswith(("onnx.", "larqlite.onnx_graph"))
        for name in names
    )


def _holds_nodes(node: ast.ClassDef) -> bool:
    """Whether a class fills `self.nodes` or `self._nodes`."""
    targets = [
        ast.unparse(target)
        for part in ast.walk(node)
        if isinstance(part, ast.Assign | ast.AnnAssign)
        for target in getattr(part, "targets", None) or [part.target]
    ]
    return not {"self.nodes", "self._nodes"}.isdisjoint(targets)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements, those inside of others too; expressions, which are many, are not
    looked into."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, ()))


def _is_private(item: Import, structure: Structure) -> bool:
    """Whether a part of the module's name that the reader is not in begins with `_`."""
    parts, reader = item.module.split("."), structure.folder(item.reader)
    for number, part in enumerate(parts):
        if part.startswith("_"):
            home = ".".join(parts[:number])
            return not (reader == home or reader.startswith(f"{home}."))
    return False


def of_commit(commit: str, root: Path) -> Structure:
    """The structure that a commit had."""
    command = ["git", "archive", "--format=tar", commit, *PACKAGES]
    archived = subprocess.run(command, cwd=root, capture_output=True)
    if archived.returncode:
        raise SystemExit(
            f"structure: git knows no commit {commit!r} with these packages. "
            "Fix: one of `git log --oneline`."
        )
    data = archived.stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder)
        return Structure.of(Path(folder))


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures, and with `--list` what they count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", help="a commit to compare with")
    parser.add_argument("--list", action="store_true", help="name every finding")
    options = parser.parse_args(arguments)
    root = Path(__file__).resolve().parent.parent
    structure = Structure.of(root)
    now = structure.figures()
    before = of_commit(options.base, root).figures() if options.base else {}
    for name, value in now.items():
        old = f"{before[name]:>10,g}" if before else ""
        print(f"{name:<42}{old}{value:>10,g}")
    from doors import DOORS

    past = structure.past_the_doors(DOORS)
    print(
        f"{'imports past the doors':<42}{'' if not before else ' ' * 10}{len(past):>10}"
    )
    if options.list:
        for item in past:
            print(f"past: {item.reader}:{item.line} {item.module} {item.name}")
        for item in structure.private_across():
            print(f"private: {item.reader}:{item.line} {item.module} {item.name}")
        for circle in structure.circles():
            print("circle:", " ".join(circle))
        for name, modules in structure.homonyms().items():
            print("classes:", name, " ".join(modules))
        for name in structure.onnx_graphs:
            print("graph:", name)
        for name in structure.walkers:
            print("walker:", name)
        for name in structure.layer_tables:
            print("table by layer class:", name)
        for name in structure.short():
            print("short:", name, structure.lines[name])
        for name in structure.long():
            print("long:", name, structure.lines[name])


if __name__ == "__main__":
    sys.exit(main())
