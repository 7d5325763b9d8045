"""Plans of networks of the zoo: nothing runs that need not."""

from __future__ import annotations

from collections import Counter

import pytest

import larqlite as lq
import larqlite_zoo as lqz
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read


@pytest.fixture(scope="module")
def birealnet(tmp_path_factory):
    """All layers of the network, the later ones with fewer channels."""
    with pytest.MonkeyPatch.context() as patch:
        narrow = (64, 96, 128, 160)
        patch.setattr("larqlite_zoo.literature.birealnet.SECTIONS", narrow)
        model = lqz.literature.BiRealNet(
            input_shape=(64, 64, 3), weights=None, num_classes=10
        )
    path = tmp_path_factory.mktemp("zoo") / "birealnet.onnx"
    lq.deploy.export(model, path, verify=False)
    return read(path)


@pytest.fixture(scope="module")
def found(birealnet):
    return plan(birealnet, checked=True)


def steps_of(found):
    return [step for part in found.program.parts for step in part]


def test_birealnet_stays_in_the_kernels(found):
    assert [stage.part for stage in found.stages] == [0]


def test_birealnet_with_floats_in_onnxruntime_has_five_segments(birealnet):
    found = plan(birealnet, float_kernels=False, checked=True)
    segments = [stage.nodes for stage in found.stages if stage.part is None]
    convolutions = [sum(node.op == "Conv" for node in nodes) for nodes in segments]
    assert convolutions == [1, 1, 1, 1, 0]  # stem, three shortcuts, classifier


def test_birealnet_packs_and_adds_where_sums_are_made(found):
    steps = steps_of(found)
    kinds = Counter(step.kind for step in steps)
    # The image gets its border, and a softmax has all classes; every other tensor is made by a
    # layer.
    assert kinds == {
        StepKind.LOAD: 2,
        StepKind.CONV_FLOAT: 5,  # the stem, three shortcuts, the classifier
        StepKind.POOL_MAX: 1,
        StepKind.POOL_AVERAGE: 4,
        StepKind.CONV: 16,
    }
    sums = [step for step in steps if step.kind == StepKind.CONV]
    added = [
        sum(op.kind == EpilogueKind.ADD_TENSOR for op in step.ops) for step in sums
    ]
    assert sum(added) + sum(
        op.kind == EpilogueKind.ADD_TENSOR
        for step in steps
        if step.kind == StepKind.CONV_FLOAT
        for op in step.ops
    ) == len(sums)
