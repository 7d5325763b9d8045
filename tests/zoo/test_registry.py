"""Finding models by pattern, by name, by function."""

from __future__ import annotations

import inspect

import pytest

import larqlite_zoo
from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models
from larqlite_zoo._card import Paper

PAPER = Paper("A paper", "https://example.org/paper", 2020)


@pytest.fixture
def register(monkeypatch):
    """`register_model` with a table that ends with the test."""
    monkeypatch.setattr(
        _registered_models, "_entries", dict(_registered_models._entries)
    )

    def register(name, function):
        decorate = _registered_models.register_model(
            name, summary="For a test.", paper=PAPER
        )
        return decorate(function)

    return register


def test_a_pattern_lists_names_in_order_whatever_their_case():
    names = larqlite_zoo.list_models("*net*18*")
    assert {"binary_resnet_e18", "resnet18_fp"} <= set(names)
    assert names == sorted(names)
    assert larqlite_zoo.list_models("*NET*18*") == names
    assert larqlite_zoo.list_models("QuickNet") == ["quicknet"]
    assert larqlite_zoo.list_models("quicknet_?mall") == ["quicknet_small"]
    assert larqlite_zoo.list_models("BinaryResNet*") == [
        name
        for name in larqlite_zoo.list_models("*")
        if name.startswith("binary_resnet")
    ]
    assert larqlite_zoo.list_models("nothing") == []


@pytest.mark.parametrize(
    "name",
    ["binary_resnet_e18", "BinaryResNetE18", "binaryresnete18", "binary-resnet-e18"],
)
def test_a_model_is_found_by_its_name_and_by_its_function(name):
    assert _registered_models.find(name).function == "BinaryResNetE18"


def test_get_hands_its_arguments_to_the_function():
    model = larqlite_zoo.get(
        "BinaryVGGSmall", weights=None, input_shape=(32, 40, 2), num_classes=3
    )
    assert model.name == "binary_vgg_small"
    assert model.input_shape == (None, 32, 40, 2)
    assert model.output_shape == (None, 3)


def test_an_unknown_name_lists_near_matches():
    for look_up in (larqlite_zoo.get, larqlite_zoo.card):
        with pytest.raises(ArgumentError, match=r'no model "quiknet".*"quicknet"'):
            look_up("quiknet")
        with pytest.raises(ArgumentError, match='"binary_densenet28"'):
            look_up("BinaryDensNet28")
        with pytest.raises(ArgumentError, match="3 is a int, not the name"):
            look_up(3)


def test_every_public_function_of_a_family_is_a_registered_model():
    families = (larqlite_zoo.literature, larqlite_zoo.sota, larqlite_zoo.small)
    for family in families:
        functions = {
            name
            for name in family.__all__
            if inspect.isfunction(getattr(family, name)) and name[0].isupper()
        }
        entries = [e for e in _registered_models.entries() if e.build.__module__.startswith(
            family.__name__ + ".")]  # fmt: skip
        assert {entry.function for entry in entries} == functions
        for entry in entries:
            assert getattr(family, entry.function) is entry.build
            assert f"larqlite_zoo.{entry.family}" == family.__name__


def test_every_model_takes_the_same_keyword_arguments():
    for entry in _registered_models.entries():
        parameters = inspect.signature(entry.build).parameters
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values()), entry.name
        assert {
            "input_shape", "input_tensor", "weights", "include_top", "num_classes"
        } <= set(parameters)  # fmt: skip
        assert parameters["weights"].default in (
            ("imagenet", None) if entry.weights else (None,)
        ), entry.name
        assert parameters["num_classes"].default == entry.num_classes, entry.name


def test_a_model_of_ones_own_is_listed_and_found(register):
    def MyNet(**kwargs):
        return kwargs

    assert register("my_net", MyNet) is MyNet
    assert "my_net" in larqlite_zoo.list_models()
    assert larqlite_zoo.get("MyNet", num_classes=3) == {"num_classes": 3}
    register("my_net", MyNet)  # as when a module is reloaded


def test_a_name_that_another_model_has_is_refused(register):
    def Other(**kwargs):
        return None

    def QuickNet(**kwargs):
        return None

    for name, function in [
        ("quicknet", Other), ("QuickNet", Other), ("quick", QuickNet)
    ]:  # fmt: skip
        with pytest.raises(ArgumentError, match=r"taken by larqlite_zoo\.sota"):
            register(name, function)


def test_importing_the_zoo_brings_nothing_heavy_beside_larqlite(run_fork):
    printed = run_fork(
        """
        import sys
        import larqlite
        sys.modules["tensorflow_datasets"] = None  # importing it fails
        before = set(sys.modules)
        import larqlite_zoo
        new = set(sys.modules) - before
        print(len(larqlite_zoo.list_models()) > 20)
        print(sorted({name.split(".")[0] for name in new}))
        print("larqlite_zoo.datasets" in new, "larqlite_zoo.training" in new)
        print(larqlite_zoo.decode_predictions([[0.0] * 999 + [1.0]], top=1)[0][0][:2])
        print(larqlite_zoo.datasets.__name__, larqlite_zoo.training.__name__)
        print(callable(larqlite_zoo.preprocess_input))
        print(set(larqlite_zoo.__all__) <= set(dir(larqlite_zoo)))
        """
    ).splitlines()
    assert printed == [
        "True",
        "['larqlite', 'larqlite_zoo']",  # deploy's registry, for the zoo's own layers
        "False False",
        "('n15075141', 'toilet_tissue')",
        "larqlite_zoo.datasets larqlite_zoo.training",
        "True",
        "True",
    ]


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        larqlite_zoo.nothing  # noqa: B018
