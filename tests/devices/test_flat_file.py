"""Flat files: what they hold, and that C runs from them what Python plans, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import larqlite_runtime
from larqlite.deploy.targets.flat import flat_bytes
from larqlite_runtime.internal import whole_program
from tests.devices.c_library import OK, CModel, needs_compiler, needs_kernels
from tests.runtime import random_networks

pytestmark = [needs_compiler, needs_kernels]


# Networks of which no node is left for ONNX Runtime.
SEEDS = (14, 20, 22, 27, 101, 111, 117, 129, 136, 144, 146, 151)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_network_computes_what_it_does_in_python(seed):
    """On the portable kernels, for one image, few, and many in pieces."""
    proto, _ = random_networks.random_network(seed)
    data = proto.SerializeToString()
    model = CModel(flat_bytes(whole_program(data)))
    assert model.code == OK, model.error
    assert model.call("lq_set_isa", b"portable") == OK
    expected = larqlite_runtime.load(data, isa="portable")
    for batch in (2, 1, 9):
        x = random_networks.random_input(proto, batch, seed)
        wanted, found = expected.run(x), model.run(x, batch)
        assert list(found) == list(wanted)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)
