"""Memory and work that a file asks for are bounded before they are spent."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime.reader import _budget, read
from tests.runtime import files
from tests.runtime.files import codes, floats, integers, model, node, packed
from tests.runtime.refusals import refused


def peak_of(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_bound_counts_constants_tensors_and_scratch():
    dense = model(
        [node("MatMul", "x w", "y")],
        {"x": (100,)},
        {"y": (50,)},
        {"w": floats(100, 50)},
    )
    needed = 4 * (100 * 50 + 100 + 50)
    assert needed > len(dense.SerializeToString())
    read(dense.SerializeToString(), budget=needed)
    refused(dense, f"can need {needed:,} bytes for a batch of 1", budget=needed - 1)
    refused(dense, f"can need {needed + 600:,} bytes", budget=needed, batch=2)


def test_packed_weights_count_as_they_are_unpacked():
    shape = (64, 3, 3, 64)
    conv = model(
        [packed("BConv2D", "x w", "y", **files.convolution(shape))],
        {"x": (64, 4, 4)},
        {"y": (64, 4, 4)},
        {"w": codes(64 * 9 * 64)},
    )
    # Unpacked, it is 147,456 bytes; the tensors and the columns of the window are less.
    refused(conv, "can need", budget=147_000)
    read(conv.SerializeToString(), budget=250_000)


def test_a_tile_bomb_is_refused_in_little_memory_and_time():
    """Each node makes its tensor 2^7 times larger."""
    nodes = [node("Tile", f"{f't{i}' if i else 'x'} r", f"t{i + 1}") for i in range(8)]
    bomb = model(nodes, {"x": (4,)}, {"t8": None}, {"r": integers(1, 128)})
    begin = time.process_time()
    assert peak_of(lambda: refused(bomb, "too large")) < 1_000_000
    assert time.process_time() - begin < 1


def test_the_largest_tensor_is_named():
    nodes = [
        node("Expand", "x s", "wide"),
        node("ReduceSum", "wide a", "y", keepdims=0),
    ]
    bomb = model(
        nodes, {"x": (1,)}, {"y": ()}, {"s": integers(1, 2**30), "a": integers(1)}
    )
    refused(
        bomb, "can need 4,2", '"wide", (batch, 1073741824)', "budget of 2,147,483,648"
    )


def test_borders_of_a_convolution_are_counted():
    """Little comes out, but its padded input is large."""
    conv = model(
        [node("Conv", "x w", "y", pads=[60_000] * 4, strides=[65_535] * 2)],
        {"x": (1, 3, 3)},
        {"y": None},
        {"w": floats(1, 1, 1, 1)},
    )
    refused(conv, "can need 57,6")


def test_weights_shared_by_many_nodes_count_for_each():
    """20 KB of bits, unpacked by a thousand nodes."""
    count = 160_000
    nodes = [
        packed(
            "Unpack", "w", f"k{i}", weight_shape=[count], bits=1, step=1.0, offset=0.0
        )
        for i in range(1000)
    ]
    bomb = model(
        [*nodes, node("Abs", "x", "y")], {"x": (1,)}, {"y": None}, {"w": codes(count)}
    )
    refused(bomb, "more than the budget", budget=1 << 29)


def test_constants_shared_by_many_nodes_are_looked_at_once():
    """A look at 4 MB for each of 5,000 nodes would take seconds."""
    table = np.zeros(500_000, np.int64)
    nodes = [node("Gather", "x i", f"g{i}", axis=1) for i in range(5000)]
    begin = time.process_time()
    bomb = model(
        [*nodes, node("Abs", "x", "y")], {"x": (1,)}, {"y": None}, {"i": table}
    )
    refused(bomb, "more than the budget")
    assert time.process_time() - begin < 2


def test_products_are_bounded():
    conv = model(
        [node("Conv", "x w", "y", pads=[300] * 4)],
        {"x": (64, 64, 64)},
        {"y": None},
        {"w": floats(64, 64, 40, 40)},
    )
    refused(conv, "products for one sample", "1,000,000,000,000", budget=1 << 60)


def test_windows_count_as_work():
    pool = model(
        [node("MaxPool", "x", "y", kernel_shape=[2000, 2000])],
        {"x": (1, 3000, 3000)},
        {"y": None},
    )
    refused(pool, "products for one sample")


@pytest.mark.parametrize("name", files.SEEDS)
def test_the_bound_grows_with_the_batch(name, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "larqlite_runtime.reader._budget.memory",
        lambda *args, real=_budget.memory: seen.append(real(*args)) or 0,
    )
    for batch in (1, 2, 3):
        read(files.SEEDS[name]().SerializeToString(), batch=batch)
    assert seen[2] - seen[1] == seen[1] - seen[0] > 0


def test_exclusive_ors_of_a_few_bytes_do_not_fill_the_memory():
    """Each result is made while the file is read, before its size is counted."""
    names = [f"made_{number}" for number in range(40)]
    nodes = [
        node("BitwiseXor", f"{before} w", name)
        for before, name in zip(["w", *names], names, strict=False)
    ]
    proto = model(
        [*nodes, node("Identity", "x", "y")],
        {"x": (3,)},
        {"y": None},
        {"w": np.zeros(100_000, np.uint8)},
    )
    with pytest.raises(
        larqlite_runtime.ModelFileError, match=r"(?s)BitwiseXor.*too many bits.*Fix: "
    ):
        read(proto.SerializeToString())
