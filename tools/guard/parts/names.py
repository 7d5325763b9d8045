"""Public names of all public modules: kinds, signatures, methods; not where they are made."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator

PACKAGES = ("larqlite", "larqlite_runtime", "larqlite_zoo")
# `larqlite.deploy._report.Report` in an annotation is `Report`, wherever it is made.
_PATH = re.compile(r"\blarqlite\w*(?:\.\w+)*\.(\w+)")


def entries() -> dict:
    """An entry for each public module."""
    found = {"modules": lambda: [("modules", modules())]}
    for name in modules():
        found[name] = lambda name=name: [("names", list(_names(name)))]
    return found


def modules() -> list[str]:
    """Modules without an underscore in their path."""
    found = []
    for package in PACKAGES:
        root = importlib.import_module(package)
        found.append(package)
        for item in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not any(part.startswith("_") for part in item.name.split(".")):
                found.append(item.name)
    return sorted(found)


def _names(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for public in sorted(_public(module)):
        yield from _described(public, getattr(module, public))


def _public(module) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", module.__name__) == module.__name__
        and name != "annotations"
    ]


def _described(name: str, value) -> Iterator[str]:
    if isinstance(value, types.ModuleType):
        yield f"{name}: module"
    elif inspect.isclass(value):
        yield f"{name}: class{_signature(value)}{_bases(value)}"
        yield from _members(name, value)
    elif callable(value):
        yield f"{name}: {type(value).__name__}{_signature(value)}"
    else:
        text = re.sub(r"0x[0-9a-f]+", "", repr(value))
        yield f"{name}: {type(value).__name__} {_plain(text)[:300]}"


def _members(name: str, cls: type) -> Iterator[str]:
    """What our classes define; not what they inherit from others."""
    found = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] in PACKAGES:
            found |= {n: v for n, v in vars(base).items() if not n.startswith("_")}
    for member, value in sorted(found.items()):
        kind = type(value).__name__
        if isinstance(value, (staticmethod, classmethod)):
            yield f"  {name}.{member}: {kind}{_signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"  {name}.{member}: method{_signature(value)}"
        elif isinstance(value, (bool, int, float, str, tuple, type(None))):
            yield f"  {name}.{member}: {_plain(repr(value))[:200]}"
        else:
            yield f"  {name}.{member}: {kind}"
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            yield f"  {name}.{field.name}: field {_plain(str(field.type))}"


def _bases(cls: type) -> str:
    """The public classes of others that it is one of."""
    names = [
        base.__name__
        for base in cls.__mro__[1:-1]
        if not base.__name__.startswith("_")
        and (
            issubclass(cls, Exception) or base.__module__.split(".")[0] not in PACKAGES
        )
    ]
    return f" is {', '.join(names)}" if names else ""


def _signature(value) -> str:
    try:
        return _plain(str(inspect.signature(value)))
    except (TypeError, ValueError):
        return "(?)"


def _plain(text: str) -> str:
    return _PATH.sub(r"\1", text)
