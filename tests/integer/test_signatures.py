"""Every public name of the reference's document is here, and is called in the same way."""

import ast
import importlib
import inspect
import json
import pathlib

import pytest
import tensorflow as tf

from larqlite.integer import layers, tensors

TABLE = json.loads(
    pathlib.Path(__file__).with_name("golden").joinpath("signatures.json").read_text()
)
WITH_MEMBERS = [name for name in TABLE if "members" in TABLE[name]]
EVERYTHING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def found(name: str):
    """Ours for a name of the document."""
    ours = name.replace("quantizeml.onnx_support", "larqlite.integer.onnx")
    module, _, attribute = ours.replace("quantizeml", "larqlite.integer").rpartition(
        "."
    )
    module = importlib.import_module(module)
    assert attribute in module.__all__, (
        f"{attribute} is not public in {module.__name__}"
    )
    return getattr(module, attribute)


def derives(cls: type, name: str) -> bool:
    """Whether a class derives from what has a name, in public or as its own."""
    homes = (tensors, layers)
    public = [getattr(home, name) for home in homes if name in home.__all__]
    return any(c.__name__ == name or c in public for c in cls.__mro__)


def same(written: str, default) -> bool:
    """Whether a default is what the document's expression says."""
    if written.startswith("QuantizationParams("):
        call = ast.parse(written, mode="eval").body
        fields = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        return all(getattr(default, field) == fields[field] for field in fields)
    value = ast.literal_eval(written)
    if isinstance(value, list):
        return list(default) == value
    kind = (int, float) if isinstance(value, float) else type(value)
    return isinstance(default, kind) and default == value


def check_arguments(parameters, arguments, *, others: bool) -> None:
    """Positional parameters are these in this order; ours beside them need no value."""
    ordered = [p for p in parameters if p.kind not in (*EVERYTHING, p.KEYWORD_ONLY)]
    assert [p.name for p in ordered] == [argument[0] for argument in arguments]
    for parameter, (_, *default) in zip(ordered, arguments, strict=True):
        assert (parameter.default is parameter.empty) == (not default), parameter
        if default:
            assert same(default[0], parameter.default), (parameter, default)
    for parameter in parameters:
        if parameter.kind == parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty, parameter
    kinds = {p.kind for p in parameters}
    assert (inspect.Parameter.VAR_KEYWORD in kinds) == others


def constructor_parameters(cls) -> dict:
    """By name, those that a layer takes, itself or for the class that it extends."""
    known: dict = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(base.__init__).parameters
        for name, parameter in own.items():
            known.setdefault(name, parameter)
        if not {p.kind for p in own.values()} & set(EVERYTHING):
            break
    return known


@pytest.mark.parametrize("name", TABLE)
def test_the_name_is_here_with_the_documented_arguments(name):
    ours, entry = found(name), TABLE[name]
    assert callable(ours)
    if entry["kind"] == "class":
        assert inspect.isclass(ours)
    for base in entry.get("bases", ()):
        assert derives(ours, base.rpartition(".")[2]), base
    if "arguments" in entry:
        parameters = list(inspect.signature(ours).parameters.values())
        check_arguments(parameters, entry["arguments"], others="keywords" in entry)
        return
    known = constructor_parameters(ours)
    for described in entry["described"]:
        assert described["name"] in known, f"no {described['name']} in {list(known)}"
        default = known[described["name"]].default
        assert (default is not inspect.Parameter.empty) == described["optional"]
        if "default" in described:
            assert same(described["default"], default), (described, default)


@pytest.mark.parametrize("name", WITH_MEMBERS)
def test_the_members_are_here_with_the_documented_arguments(name):
    cls = found(name)
    for member, entry in TABLE[name]["members"].items():
        static = inspect.getattr_static(cls, member)
        if entry["kind"] == "property":
            assert isinstance(static, property), member
        elif entry["kind"] == "class":
            assert issubclass(getattr(cls, member), tf.TypeSpec)
            assert cls.Spec.value_type is cls
        else:
            assert isinstance(static, staticmethod) == (entry["kind"] == "static")
            parameters = list(inspect.signature(static).parameters.values())
            own = parameters if entry["kind"] == "static" else parameters[1:]
            check_arguments(own, entry["arguments"], others=False)


@pytest.mark.parametrize("name", [name for name in TABLE if "raises" in TABLE[name]])
def test_the_docstring_names_the_errors_that_the_document_names(name):
    text = inspect.getdoc(found(name)).partition("Raises:")[2]
    errors = importlib.import_module("larqlite.errors")
    builtins = {**vars(importlib.import_module("builtins")), **vars(tf.errors)}
    named = [word.strip(":.,") for word in text.split()]
    classes = [getattr(errors, word, builtins.get(word)) for word in named]
    for error in TABLE[name]["raises"]:
        wanted = builtins[error]
        assert any(inspect.isclass(c) and issubclass(c, wanted) for c in classes)


@pytest.mark.parametrize(("shape", "axis"), [((2, 0), -1), ((2, 3), 2)])
def test_shiftmax_of_nothing_or_beyond_the_last_axis_is_refused(shape, axis):
    shiftmax = found("quantizeml.layers.shiftmax")
    with pytest.raises(tf.errors.InvalidArgumentError):
        shiftmax(tf.zeros(shape), axis)
