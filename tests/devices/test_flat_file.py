"""Flat files: what they hold, and that C runs from them what Python plans, bit for bit."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import larqlite_runtime
from larqlite.deploy.targets.flat import _layout as layout, flat_bytes
from larqlite.deploy.targets.flat._write import repeated
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer, COp, CStep, CView
from larqlite_runtime.internal import StepKind, whole_program
from tests.deploy.keras_and_file import export, with_random_weights
from tests.deploy.random_networks import networks as keras_networks
from tests.devices.c_library import NATIVE, OK, CModel, needs_compiler, needs_kernels
from tests.devices.flat_steps import flat_of_step
from tests.runtime import files, random_networks, test_native_engine
from tests.runtime.steps import Case, random_case

pytestmark = [needs_compiler, needs_kernels]


@pytest.mark.parametrize("seed", range(10))
def test_a_random_network_computes_what_it_does_in_python(seed):
    """On the portable kernels, for one image, few, and many in pieces."""
    assert_runs_as_in_python(seed)


def test_every_operation_computes_what_it_does_in_python():
    """Those that the kernels took over from ONNX Runtime: groups, gates, poolings, moves."""
    for nodes, shape, constants in test_native_engine.CASES.values():
        proto = test_native_engine.built(nodes, shape, constants)
        x = {"x": files.floats(9, *shape, seed=7)}
        assert_equal_to_python(proto.SerializeToString(), x, (2, 9))


@pytest.mark.targets
def test_many_random_networks_compute_what_they_do_in_python():
    refused = 0
    for seed in range(10, 400):
        try:
            assert_runs_as_in_python(seed)
        except larqlite_runtime.NoNativeStepError:
            refused += 1
    assert refused < 20


@pytest.mark.targets
def test_random_networks_of_keras_compute_what_they_do_in_python(tmp_path_factory):
    """Floats and all: the same bits as the portable kernels in Python."""
    ran = []

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(network=keras_networks())
    def check(network):
        path = tmp_path_factory.mktemp("random") / "model.onnx"
        model = with_random_weights(network)
        export(model, path)
        x = (
            np.random.default_rng(2)
            .normal(size=(9, *model.input_shape[1:]))
            .astype("f")
        )
        with contextlib.suppress(larqlite_runtime.NoNativeStepError):
            assert_equal_to_python(path.read_bytes(), {model.input_names[0]: x}, (2, 9))
            ran.append(path)

    check()
    assert len(ran) > 30


def assert_runs_as_in_python(seed):
    proto, _ = random_networks.random_network(seed)
    x = random_networks.random_input(proto, 9, seed)
    assert_equal_to_python(proto.SerializeToString(), x, (2, 1, 9))


def assert_equal_to_python(data, inputs, batches):
    """On portable kernels, for the first of some inputs."""
    model = CModel(flat_bytes(whole_program(data)))
    assert model.code == OK, model.error
    assert model.call("lq_set_isa", b"portable") == OK
    expected = larqlite_runtime.load(data, isa="portable", engine="native")
    for batch in batches:
        x = {name: array[:batch] for name, array in inputs.items()}
        wanted, found = expected.run(x), model.run(x, batch)
        assert list(found) == list(wanted)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("kind", StepKind)
def test_a_step_of_every_kind_computes_what_it_does_in_python(kind):
    """To the bit, on portable kernels; memory that no step writes stays as the file has it."""
    for seed in range(8):
        case = random_case(seed, kind)
        case = Case(case.step, case.buffers, 1)
        data, inputs, outputs = flat_of_step(case)
        model = CModel(data)
        assert model.code == OK, model.error
        assert model.call("lq_set_isa", b"portable") == OK
        found = model.run(inputs, 1)
        memory = (CBuffer * len(case.buffers))(
            *(CBuffer(buffer.ctypes.data, buffer.nbytes) for buffer in case.buffers)
        )
        _native.Part([case.step]).bind(memory, 1, 1, "portable")()
        for number in outputs:
            wanted = case.buffers[number].view(np.uint8)
            np.testing.assert_array_equal(found[f"b{number}"].view(np.uint8)[0], wanted)


def test_every_field_of_a_step_is_in_the_file():
    """Those of the C structures, in their order; a new one is appended to the record."""
    fields = [name for name, _ in layout.STEP.fields]
    structure = [name for name, _ in CStep._fields_ if name not in ("ops", "input")]
    assert [name for name in fields if "." not in name] == [
        "name",
        "first_op",
        *structure,
    ]
    views = {name.split(".")[1] for name in fields if name.startswith("input.")}
    assert views == {name for name, _ in CView._fields_}
    found = [name.split(".")[0] for name, _ in layout.OP.fields]
    assert list(dict.fromkeys(found)) == [name for name, _ in COp._fields_]
    reader = (NATIVE / "model" / "flat.cc").read_text()
    for kind, record in layout.RECORDS.items():
        assert f"k{kind.capitalize()}Bytes = {record.size}" in reader


def test_a_program_that_is_planned_for_c_is_refused():
    proto, _ = random_networks.random_network(0)
    program = whole_program(proto.SerializeToString(), small=True)
    program.buffers[-1].offset = 4
    with pytest.raises(ValueError, match="planned with small=True"):
        flat_bytes(program)


def test_borders_are_written_once_however_large_they_are():
    np.testing.assert_array_equal(repeated(np.tile([7, 7, 9], 50)), [7, 7, 9])
    np.testing.assert_array_equal(repeated(np.full(12, 5)), [5])
    np.testing.assert_array_equal(repeated(np.arange(5)), np.arange(5))
    np.testing.assert_array_equal(repeated(np.array([1, 1, 2, 1])), [1, 1, 2, 1])
