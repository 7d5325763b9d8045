"""Which names are public, which of them the reference lists; a missing one is a warning.

`tests/test_docs_coverage.py` asks the same questions.
"""

import importlib
import inspect
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

import larqlite
import larqlite_runtime
import larqlite_zoo

log = logging.getLogger(__name__)

# Public modules that `__all__` of the package does not name.
FURTHER_MODULES = {
    larqlite: (
        "demo",
        "qat.quantizers",
        "qat.default_8bit",
        "qat.experimental",
        "qat.experimental.default_n_bit",
        "qat.collab_opts",
        "integer.tensors",
        "integer.layers",
        "integer.models",
        "integer.models.transforms",
        "integer.export",
        "integer.onnx",
        "integer.onnx.layers",
        "integer.onnx.quantization",
    ),
    larqlite_zoo: ("cli", "training.learning_schedules"),
    larqlite_runtime: (),
}
# Another name of a package that has pages of its own.
ALIASES = ("runtime",)
_DIRECTIVE = re.compile(
    r"^\.\. (?P<kind>currentmodule|py:data|auto(?:module|class|function|exception)):: "
    r"(?P<name>[\w.]+)$",
    re.MULTILINE,
)


def public_modules() -> list[str]:
    """Dotted names of the public modules, each package itself before what is in it."""
    names = []
    for package, further in FURTHER_MODULES.items():
        below = [
            name
            for name in package.__all__
            if inspect.ismodule(getattr(package, name)) and name not in ALIASES
        ]
        title = package.__name__
        names += [title, *(f"{title}.{name}" for name in (*below, *further))]
    return names


def public_names(module: str) -> list[str]:
    """Its `__all__`; without one, the functions and classes it defines itself."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return list(found.__all__)
    return [
        name
        for name, value in vars(found).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module
    ]


def has_docstring(module: str, name: str) -> bool:
    """Whether the object has a docstring of its own; data and modules need one elsewhere."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        return bool(vars(value).get("__doc__"))
    return bool(value.__doc__) if callable(value) or inspect.ismodule(value) else True


def names_in_reference(folder: Path) -> set[str]:
    """Dotted names that the pages of a folder document by a directive."""
    names = set()
    for page in sorted(folder.glob("*.rst")):
        module = ""
        for match in _DIRECTIVE.finditer(page.read_text(encoding="utf-8")):
            if match["kind"] == "currentmodule":
                module = match["name"]
            elif match["kind"] == "automodule":
                names.add(match["name"])
            else:
                names.add(f"{module}.{match['name']}")
    return names


def undocumented(folder: Path) -> list[str]:
    """One line for every public name without a docstring or an entry."""
    listed = names_in_reference(folder)
    complaints = []
    for module in public_modules():
        for name in public_names(module):
            if not has_docstring(module, name):
                complaints.append(f"{module}.{name} has no docstring")
            if f"{module}.{name}" not in listed:
                complaints.append(
                    f"{module}.{name} is not in the reference ({folder.name}/)"
                )
    return complaints


def _check(app: Sphinx, env) -> None:
    for complaint in undocumented(Path(app.srcdir, "api")):
        log.warning(complaint)


def setup(app: Sphinx) -> dict:
    """Checks once all pages are read."""
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
