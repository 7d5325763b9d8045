"""Bits stay bits through concatenations, shuffles and poolings: nothing is unpacked between."""

from __future__ import annotations

import functools
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import larqlite_runtime
from larqlite_runtime._program import (
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends.numpy import _kernels
from larqlite_runtime.format import pack, unpack
from larqlite_runtime.planner import plan
from larqlite_runtime.planner._lower_bits import move_table
from larqlite_runtime.reader import read
from tests.common.samples import few_or_more
from tests.runtime import files
from tests.runtime.files import codes, convolution, floats, model
from tests.runtime.networks import stock
from tests.runtime.plans import compare, kinds, node, packed, planned, steps_of
from tests.runtime.random_networks import MOVES, random_input, random_network

ISAS = [
    name
    for name, number in _native.INSTRUCTION_SETS.items()
    if _native.library() is not None and _native.library().lq_supports(number)
]


class Net:
    """A small network, written node by node; the channels of its tensors."""

    def __init__(self, size=6):
        self.nodes, self.constants, self.size = [], {}, size
        self.channels = {"x": 32}

    def conv(self, source, output, channels, size=3, groups=1, **changes):
        """Sign and binary convolution."""
        shape = (channels, size, size, self.channels[source] // groups)
        given = convolution(shape) | {"pads": [size // 2] * 4, "group": groups}
        self.nodes += [
            packed("Sign", source, f"{output}/signs"),
            packed("BConv2D", f"{output}/signs {output}/w", output, **given | changes),
        ]
        self.constants[f"{output}/w"] = codes(int(np.prod(shape)), seed=len(output))
        return self._made(output, channels)

    def scaled(self, source, output, seed=0):
        """Scale and offset, with scales of both signs and sums that hit 0."""
        channels = self.channels[source]
        rng = np.random.default_rng(seed)
        scale = rng.choice([-2, -1, -0.5, 0.5, 1, 2], (channels, 1, 1))
        self.constants[f"{output}/a"] = scale.astype(np.float32)
        offset = rng.integers(-20, 21, (channels, 1, 1))
        self.constants[f"{output}/b"] = offset.astype(np.float32)
        self.nodes += [
            node("Mul", f"{source} {output}/a", f"{output}/scaled"),
            node("Add", f"{output}/scaled {output}/b", output),
        ]
        return self._made(output, channels)

    def joined(self, output, *sources):
        self.nodes.append(node("Concat", " ".join(sources), output, axis=1))
        return self._made(output, sum(self.channels[name] for name in sources))

    def shuffled(self, source, output, groups):
        channels, size = self.channels[source], self.size
        self.constants[f"{output}/cut"] = np.array(
            [-1, groups, channels // groups, size, size]
        )
        self.constants[f"{output}/whole"] = np.array([-1, channels, size, size])
        self.nodes += [
            node("Reshape", f"{source} {output}/cut", f"{output}/5d"),
            node("Transpose", f"{output}/5d", f"{output}/turned", perm=[0, 2, 1, 3, 4]),
            node("Reshape", f"{output}/turned {output}/whole", output),
        ]
        return self._made(output, channels)

    def largest(self, source, output, **given):
        given = {"kernel_shape": [2, 2], "strides": [2, 2]} | given
        self.nodes.append(node("MaxPool", source, output, **given))
        return self._made(output, self.channels[source])

    def _made(self, output, channels):
        self.channels[output] = channels
        return output

    def model(self, *outputs):
        given = {"x": (32, self.size, self.size)}
        return model(self.nodes, given, dict.fromkeys(outputs), self.constants)


def steps_between(proto):
    """The steps between the first packed layer and the last one, of a checked plan."""
    steps = steps_of(planned(proto))
    sums = [at for at, step in enumerate(steps) if step.kind == StepKind.CONV]
    return steps[sums[0] : sums[-1]]


def stores_floats(steps):
    return any(EpilogueKind.STORE in kinds(step) for step in steps)


def names(steps):
    return [step.kind.name for step in steps]


def test_bits_of_whole_words_are_concatenated_where_they_are_made():
    net = Net()
    net.conv("x", "a", 64)
    net.conv("x", "b", 32)
    net.conv(net.joined("ab", "a", "b"), "y", 8)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "CONV"]
    assert [kinds(step) for step in steps] == [[EpilogueKind.THRESHOLD]] * 2
    first, second = (step.ops[0].view for step in steps)
    assert first.buffer == second.buffer
    assert second.offset == first.offset + 2  # behind the 64 bits of the first
    compare(net.model("y"))


@pytest.mark.parametrize("channels", [(8, 40), (20, 12, 64), (33, 1)])
def test_bits_of_other_numbers_of_channels_are_put_together(channels):
    net = Net()
    made = [net.conv("x", f"a{n}", count) for n, count in enumerate(channels)]
    net.conv(net.joined("all", *made), "y", 8)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV"] * len(channels) + ["MOVE_BITS"]
    assert not stores_floats(steps)
    compare(net.model("y"))


def test_scale_and_offset_behind_a_concatenation_become_thresholds_before_it():
    net = Net()
    net.conv("x", "a", 32)
    net.conv("x", "b", 64)
    net.scaled(net.joined("ab", "a", "b"), "n")
    net.conv("n", "y", 8)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "CONV"]
    assert not stores_floats(steps)
    assert steps[-1].nodes[-2:] == ("node/n/scaled", "node/n")
    compare(net.model("y"))


def test_a_dense_block_packs_each_tensor_for_all_its_readers():
    net = Net()
    whole = net.conv("x", "c0", 32, size=1)
    for number in range(1, 4):
        normal = net.scaled(whole, f"n{number}", seed=number)
        new = net.conv(normal, f"c{number}", 32)
        whole = net.joined(f"d{number}", whole, new)
    proto = net.model(net.conv(net.scaled(whole, "n", seed=9), "y", 8))
    steps = steps_between(proto)
    assert names(steps) == ["CONV"] * 4
    assert [len(step.ops) for step in steps] == [4, 3, 2, 1]
    assert not stores_floats(steps)
    compare(proto)
    # With a float reader the floats are stored, once, and packed from there.
    both = net.model("y", whole)
    found = [
        kinds(step) for step in steps_of(planned(both)) if step.kind.name == "CONV"
    ]
    assert all(kind.count(EpilogueKind.STORE) == 1 for kind in found[:4])
    assert found[0].count(EpilogueKind.PACK_RANGE) == 4
    assert "LOAD" not in names(steps_of(planned(both))[2:])
    compare(both)


def test_floats_from_elsewhere_are_packed_beside_the_bits():
    net = Net()
    net.nodes.append(node("Erf", "x", "f"))
    net.channels["f"] = 32
    net.conv("x", "a", 40)
    net.scaled(net.joined("fa", "f", "a"), "n")
    net.conv("n", "y", 8)
    steps = steps_of(planned(net.model("y")))[:-1]
    found = {step.kind.name: kinds(step) for step in steps}
    assert found["CONV"] == [EpilogueKind.THRESHOLD]
    assert found["LOAD"] == [EpilogueKind.PACK_RANGE]
    compare(net.model("y"))


@pytest.mark.parametrize("groups", [2, 4, 8])
@pytest.mark.parametrize("channels", [64, 40])
def test_a_shuffle_moves_bits(groups, channels):
    net = Net()
    net.conv("x", "a", channels, groups=2)
    net.conv(net.shuffled("a", "s", groups), "y", 16, groups=2)
    proto = net.model("y")
    steps = steps_between(proto)
    assert names(steps) == ["CONV", "MOVE_BITS"]
    assert not stores_floats(steps)
    assert not any(stage.nodes for stage in planned(proto).stages)
    compare(proto)


def test_slices_of_a_shuffle_of_a_concatenation():
    """A unit of ShuffleNet v2, whose halves both are read as bits."""
    net = Net()
    net.conv("x", "a", 24)
    net.conv("x", "b", 40)
    net.shuffled(net.joined("ab", "a", "b"), "s", 2)
    net.constants["sizes"] = np.array([28, 36])
    net.nodes.append(node("Split", "s sizes", "left right", axis=1))
    net.channels |= {"left": 28, "right": 36}
    net.conv(net.scaled("left", "n"), "y", 8)
    net.conv("right", "z", 8)
    proto = net.model("y", "z")
    steps = steps_between(proto)
    assert not stores_floats([step for step in steps if "node/y" not in step.nodes])
    assert names(steps).count("MOVE_BITS") == 2
    compare(proto)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"kernel_shape": [3, 3]},
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [3, 1]},
    ],
)
@pytest.mark.parametrize("channels", [32, 70])
def test_the_largest_value_of_a_window_is_found_in_bits(given, channels):
    """Of channels with a negative scale behind it, the least one."""
    net = Net()
    net.conv("x", "a", channels)
    net.scaled(net.largest("a", "p", **given), "n")
    net.conv("n", "y", 8)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "MOVE_BITS"]
    assert not stores_floats(steps)
    compare(net.model("y"))


def test_a_pooled_part_of_a_concatenation():
    net = Net()
    net.conv("x", "a", 20)
    net.largest("a", "p", kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    net.conv("x", "b", 64)
    net.scaled(net.shuffled(net.joined("pb", "p", "b"), "s", 4), "n")
    net.conv("n", "y", 8)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "CONV", "MOVE_BITS", "MOVE_BITS"] or names(
        steps
    ) == ["CONV", "MOVE_BITS", "CONV", "MOVE_BITS"]
    assert not stores_floats(steps)
    compare(net.model("y"))


def pooled_floats(*outputs):
    """The largest values of floats that a layer makes, with scales of both signs behind them."""
    net = Net()
    net.conv("x", "a", 32)
    net.nodes.append(node("Add", "a x", "sum"))
    net.channels["sum"] = 32
    net.largest("sum", "q", kernel_shape=[3, 3], pads=[1] * 4)
    net.conv(net.scaled("q", "n"), "y", 8)
    return net.model(*outputs)


def test_the_largest_of_floats_that_a_layer_makes_is_found_in_bits():
    steps = steps_of(planned(pooled_floats("y")))
    assert names(steps) == ["LOAD", "CONV", "MOVE_BITS", "CONV"]
    assert EpilogueKind.PACK_ABOVE in kinds(steps[1])
    assert not stores_floats(steps[:-1])
    compare(pooled_floats("y"))


def test_a_largest_value_leaves_nan_out_in_bits_as_in_floats():
    """Infinities are the largest and the least; a window of NaN alone has the least."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 32, 6, 6)).astype(np.float32)
    special = np.array([np.nan, np.inf, -np.inf], np.float32)
    x = np.where(rng.random(x.shape) < 0.3, rng.choice(special, x.shape), x)
    x[3] = np.nan
    both = pooled_floats("y", "q")  # pooled as floats, and packed from there
    assert "POOL_MAX" in names(steps_of(planned(both)))
    for isa in (*ISAS, "numpy"):
        found, wanted = (
            larqlite_runtime.load(proto.SerializeToString(), isa=isa).run({"x": x})["y"]
            for proto in (pooled_floats("y"), both)
        )
        np.testing.assert_array_equal(found, wanted, err_msg=isa)


def test_a_float_layer_before_a_pooling_stores_no_floats():
    net = Net(size=7)
    net.nodes += [
        node("Transpose", "image", "x", perm=[0, 3, 1, 2]),
        node("Conv", "x w bias", "c", pads=[1, 1, 1, 1]),
    ]
    rng = np.random.default_rng(0)  # halves: sums are exact in any order
    weights, bias = (rng.integers(-4, 5, n) / 2 for n in ((40, 3, 3, 3), 40))
    net.constants |= {"w": weights.astype(np.float32), "bias": bias.astype(np.float32)}
    net.channels["c"] = 40
    net.conv(net.scaled(net.largest("c", "p"), "n"), "y", 8)
    proto = model(net.nodes, {"image": (7, 7, 3)}, {"y": None}, net.constants)
    steps = steps_of(planned(proto))
    assert names(steps) == ["LOAD", "CONV_FLOAT", "MOVE_BITS", "CONV"]
    assert kinds(steps[1]) == [EpilogueKind.ADD, EpilogueKind.PACK_ABOVE]
    compare(proto)


def test_where_the_pooled_floats_are_read_too_they_are_packed_there():
    net = Net()
    net.largest(net.conv("x", "a", 32), "p")
    net.conv("p", "y", 8)
    steps = steps_of(planned(net.model("y", "p")))
    assert "MOVE_BITS" not in names(steps)
    (pool,) = [step for step in steps if step.kind == StepKind.POOL_MAX]
    assert EpilogueKind.PACK_SIGN in kinds(pool)
    compare(net.model("y", "p"))


def test_a_pooling_that_is_read_too_packs_for_what_is_concatenated_behind_it():
    """The first block of a DenseNet: its largest values are stored, and packed from there."""
    net = Net()
    net.conv("x", "a", 32)
    net.nodes.append(node("Add", "a x", "sum"))
    net.channels["sum"] = 32
    whole = net.largest("sum", "p", kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    for number in range(2):
        new = net.conv(net.scaled(whole, f"n{number}", seed=number), f"c{number}", 32)
        whole = net.joined(f"d{number}", whole, new)
    proto = net.model(net.conv(net.scaled(whole, "n", seed=9), "y", 8), whole)
    steps = steps_of(planned(proto))[2:]
    assert "LOAD" not in names(steps)
    (pool,) = [step for step in steps if step.kind == StepKind.POOL_MAX]
    assert kinds(pool).count(EpilogueKind.PACK_RANGE) >= 2
    compare(proto)


def test_groups_that_begin_at_words_of_their_own():
    net = Net()
    net.conv("x", "a", 32)
    net.conv("x", "b", 16)
    net.conv(net.joined("ab", "a", "b"), "y", 8, groups=2)  # 24 channels each
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "CONV", "MOVE_BITS"]
    compare(net.model("y"))


def test_two_planes_are_concatenated_and_shuffled():
    net = Net()
    net.conv("x", "a", 32)
    net.conv("x", "b", 20)
    net.scaled(net.shuffled(net.joined("ab", "a", "b"), "s", 2), "n")
    shape = (8, 1, 1, 52)
    net.nodes += [
        packed("Ternary", "n", "t", threshold=1.5),
        packed("TConv2D", "t w", "y", **convolution(shape) | {"input": "ternary"}),
    ]
    net.constants["w"] = codes(int(np.prod(shape)), bits=2)
    steps = steps_between(net.model("y"))
    assert names(steps) == ["CONV", "CONV", "MOVE_BITS"]
    assert not stores_floats(steps)
    compare(net.model("y"))


def test_what_is_added_in_place_is_packed_there():
    """As in MeliusNet: a block adds to the channels that the one before has made."""
    net = Net()
    net.conv("x", "a", 32)
    net.conv(net.scaled("a", "n1", seed=1), "b", 32)
    net.joined("ab", "a", "b")
    net.conv(net.scaled("ab", "n2", seed=2), "c", 32)
    net.constants["pads"] = np.array([0, 32, 0, 0, 0, 0, 0, 0])
    net.nodes += [node("Pad", "c pads", "wide"), node("Add", "ab wide", "sum")]
    net.channels["sum"] = 64
    net.conv(net.scaled("sum", "n3", seed=3), "y", 8)
    proto = net.model("y")
    assert "LOAD" not in names(steps_between(proto))
    compare(proto)
    compare(net.model("y", "sum"))


def test_infinities_and_nan_give_the_bits_that_they_gave():
    """A scale of 0 makes NaN of infinity, so that such floats have no interval."""
    shape = (8, 1, 1, 64)
    for scale in (1.0, 0.0):
        nodes = [
            node("Erf", "x", "f"),
            node("Mul", "x two", "g"),
            node("Concat", "f g", "fg", axis=1),
            node("Mul", "fg a", "scaled"),
            node("Add", "scaled b", "n"),
            packed("Sign", "n", "s"),
            packed("BConv2D", "s w", "y", **convolution(shape)),
        ]
        constants = {
            "two": np.float32(2).reshape(1, 1, 1),
            "a": np.full((64, 1, 1), scale, np.float32),
            "b": floats(64, 1, 1),
            "w": codes(512),
        }
        proto = model(nodes, {"x": (32, 2, 2)}, {"y": None}, constants)
        x = np.zeros((3, 32, 2, 2), np.float32)
        x[0], x[1], x[2] = np.inf, -np.inf, np.nan
        wanted = stock(proto, {"x": x})["y"]
        for isa in (*ISAS, "numpy"):
            runtime = larqlite_runtime.load(proto.SerializeToString(), isa=isa)
            np.testing.assert_array_equal(runtime.run({"x": x})["y"], wanted)


@pytest.mark.parametrize("count", [50, 200])
def test_a_file_that_moves_values_without_end_is_planned_as_fast(count):
    """Each concatenation reads one tensor twice, which would double what is traced back."""
    net = Net(size=2)
    last = net.conv("x", "a", 32)
    net.constants |= {f"c{n}": np.array([value]) for n, value in enumerate((0, 32, 1))}
    for number in range(count):
        last = net.joined(f"twice{number}", last, last)
        net.nodes.append(node("Slice", f"{last} c0 c1 c2", f"half{number}"))
        net.channels[last := f"half{number}"] = 32
    net.conv(last, "y", 8)
    begin = time.process_time()
    proto = net.model("y")
    plan(read(proto.SerializeToString()))
    assert time.process_time() - begin < 5
    compare(proto)


def test_moves_put_each_bit_into_its_place():
    rng = np.random.default_rng(0)
    for channels, words in ((1, 1), (2, 3), (5, 4)):
        for _ in range(20):
            count = int(rng.integers(1, 32 * min(channels, words) + 1))
            target = rng.permutation(32 * channels)[:count]
            source = rng.permutation(32 * words)[:count]
            if rng.random() < 0.5:
                source = np.sort(source)
            table = move_table(target, source, channels, words)
            x = rng.integers(0, 1 << 32, words, np.uint32)
            step = KernelStep(
                StepKind.MOVE_BITS,
                (1, 1, 1),
                channels,
                TensorView(0),
                (
                    EpilogueOp(
                        EpilogueKind.STORE_INT,
                        view=TensorView(2, 0, *[channels] * 4),
                    ),
                ),
                words=words,
                tap=(words,) * 3,
                multiplier=len(table),
                weights=1,
            )
            found = np.zeros(channels, np.uint32)
            _kernels.run([step], [x, table.reshape(-1), found], 1)
            wanted = np.zeros(32 * channels, bool)
            wanted[target] = unpack(x, 32 * words)[source]
            np.testing.assert_array_equal(found, pack(wanted))


@functools.cache
def case(seed):
    proto, _ = random_network(seed, 10, MOVES)
    x = random_input(proto, 2, seed)
    return proto.SerializeToString(), x, stock(proto, x)


@pytest.mark.parametrize("count", few_or_more(25, 100))
def test_random_networks_that_move_bits_give_what_stock_onnxruntime_gives(count):
    def check(seed: int) -> None:
        file, x, wanted = case(seed)
        plan(read(file), checked=True)
        for isa in (*ISAS, "numpy"):
            found = larqlite_runtime.load(file, threads=1, isa=isa).run(x)
            for name, array in wanted.items():
                np.testing.assert_array_equal(
                    found[name], array, err_msg=f"{isa}: {name}"
                )

    settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )(given(seed=st.integers(0, 1 << 20))(check))()


def test_these_networks_move_bits():
    """Otherwise the comparison above would say less than it seems to."""
    needed = {"MOVE_BITS", "PACK_RANGE", "THRESHOLD", "turned", "table", "no step"}
    found = set()
    for seed in range(60):
        steps = steps_of(plan(read(case(seed)[0])))
        found |= {step.kind.name for step in steps}
        found |= {op.kind.name for step in steps for op in step.ops}
        for step in steps:
            if step.kind == StepKind.MOVE_BITS:
                found |= {"turned"} if step.base >= 0 else set()
                found |= {"table"} if step.weights >= 0 else set()
        written = [
            op.view.buffer
            for step in steps
            for op in step.ops
            if op.kind == EpilogueKind.THRESHOLD
        ]
        found |= {"no step"} if len(set(written)) < len(written) else set()
        if needed <= found:
            return
    pytest.fail(f"never seen: {needed - found}")


def test_a_seed_of_the_fuzzer_moves_bits():
    steps = steps_of(planned(files.SEEDS["moved"]()))
    assert names(steps).count("MOVE_BITS") >= 2
