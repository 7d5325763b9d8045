"""Layers of the same shape share a function of C; what they compute is tested with the boards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import larqlite as lq
import larqlite_zoo
from larqlite.deploy.targets.c import _sharing, source_of
from larqlite.deploy.targets.c._measure import measure
from larqlite_runtime.internal import whole_program
from tests.common.programs import needs
from tests.devices.networks import write


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A network with two times three layers of the same shape."""
    path = write("alike", tmp_path_factory.mktemp("alike"))
    return whole_program(path, small=True)


@pytest.fixture(scope="module")
def alike(program):
    """It in C."""
    return source_of(program, "alike")


def test_layers_of_the_same_shape_share_a_function(alike) -> None:
    """Two are in the middle of a residual part, two of a plain one; the last of each differ."""
    called = [re.match(r"(\w+)\(&(\w+)\);", made.call) for made in alike.steps[2:]]
    assert [bool(found) for found in called] == [True, True, False, True, True, False]
    first, second, _, third, fourth, _ = (found and found[1] for found in called)
    assert first == second != third == fourth
    for name, steps in ((first, alike.steps[2:4]), (third, alike.steps[5:7])):
        assert alike.source.count(f"STEP void {name}(") == 1
        head = alike.source.partition(f"STEP void {name}(")[0].rpartition("/*")[2]
        for made in steps:  # the comment says which layers it serves
            assert f"{made.layer.number}. {made.step.nodes[0]}" in head


def test_what_all_of_a_function_have_is_no_field(alike) -> None:
    """Slopes differ, and are handed in; where rows of the image lie is the same."""
    (fields,) = re.findall(r"struct of_step_3 {\n(.*?)}", alike.source, re.S)
    assert "float slope_4_of_all;" in fields
    assert "row_class" not in fields


def test_numbers_that_sums_begin_with_are_bytes(alike) -> None:
    """Of each border and channel; they would not fit if they were not halved and moved."""
    tables = [name for name in alike.memory.table_types if name.endswith("_sums")]
    assert tables
    assert {alike.memory.table_types[name] for name in tables} == {"uint8_t"}


@needs("arm-none-eabi-gcc")
def test_shared_functions_take_less_flash(program, alike, monkeypatch) -> None:
    monkeypatch.setattr(_sharing, "OF_LINE", 0)  # none is worth it
    apart = source_of(program, "alike")
    assert "_more(" not in apart.source
    assert measure(alike).flash < measure(apart).flash - 600


@pytest.mark.targets
@needs("arm-none-eabi-gcc")
def test_a_deep_network_takes_the_flash_that_is_promised(tmp_path: Path) -> None:
    model = larqlite_zoo.get("binary_resnet20", weights=None)
    report = lq.deploy.to_c(model, tmp_path, name="deep")
    deployed = lq.models.profile(model).deployed_bytes
    assert report.flash_bytes <= 1.05 * deployed + 8192
