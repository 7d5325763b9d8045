"""Small models, their plans, and what stock onnxruntime makes of them; whole programs, run."""

from __future__ import annotations

import numpy as np

import larqlite_runtime
from larqlite_runtime._program import aligned
from larqlite_runtime.backends import _native, numpy as numpy_kernels
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.internal import filled_before
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import codes, convolution, model
from tests.runtime.networks import stock

node, packed = files.node, files.packed


def planned(proto, **options):
    return plan(read(proto.SerializeToString()), checked=True, **options)


def steps_of(found):
    return [step for part in found.program.parts for step in part]


def kinds(step):
    return [op.kind for op in step.ops]


def compare(proto, batch=2, exact=True):
    """Runs a model here and on stock onnxruntime."""
    rng = np.random.default_rng(5)
    x = {
        item.name: (
            rng.integers(-6, 7, [batch, *shape_of(item)]) / np.float32(4)
        ).astype(np.float32)
        for item in proto.graph.input
    }
    wanted = stock(proto, x)
    for isa in (None, "numpy"):
        found = larqlite_runtime.load(proto.SerializeToString(), isa=isa).run(x)
        for name, array in wanted.items():
            if exact:
                np.testing.assert_array_equal(found[name], array)
            else:
                np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


def shape_of(item):
    return [dim.dim_value for dim in item.type.tensor_type.shape.dim[1:]]


def block(number, source, channels, size=3, **changes):
    """Sign, binary convolution, scale and offset; constants of it."""
    shape = (channels, size, size, channels)
    nodes = [
        packed("Sign", source, f"signs{number}"),
        packed(
            "BConv2D",
            f"signs{number} w{number}",
            f"sums{number}",
            **convolution(shape) | changes,
        ),
        node("Mul", f"sums{number} scale{number}", f"scaled{number}"),
        node("Add", f"scaled{number} offset{number}", f"normal{number}"),
    ]
    constants = {
        f"w{number}": codes(int(np.prod(shape)), seed=number),
        f"scale{number}": files.floats(channels, 1, 1, seed=number),
        f"offset{number}": files.floats(channels, 1, 1, seed=number + 50),
    }
    return nodes, constants


def network(*parts, source="x", channels=32, size=6, outputs):
    nodes = [item for nodes, _ in parts for item in nodes]
    constants = {key: value for _, values in parts for key, value in values.items()}
    return model(nodes, {source: (channels, size, size)}, outputs, constants)


def run_whole(whole, x, isa="numpy"):
    """The outputs of a whole program for one sample, by name, in the arena that it asks for.

    Args:
        whole: what `whole_program` returns, of one input.
        x: one sample of it.
        isa: an instruction set, or "numpy".
    """
    arena, arrays = aligned(whole.arena), []
    arena[...] = 0xA5
    for buffer in whole.buffers:
        if buffer.constant is not None:
            arrays.append(buffer.constant.reshape(-1))
        elif buffer.external:
            arrays.append(x.astype(buffer.dtype).reshape(-1))
        else:
            own = arena[buffer.offset :][: buffer.bytes]
            arrays.append(own.view(buffer.dtype))
    fills = filled_before(whole.steps, whole.buffers)
    keeps = whole.plan.program.keeps_borders
    for number in [number for fill in fills for number in fill] if keeps else ():
        arrays[number][...] = whole.buffers[number].initial.reshape(-1)
    if isa != "numpy":
        buffers = (CBuffer * len(arrays))(
            *(CBuffer(array.ctypes.data, array.nbytes, 0, 0) for array in arrays)
        )
        _native.Part(whole.steps).bind(buffers, 1, 1, isa)()
    else:
        for step, fill in zip(whole.steps, fills, strict=True):
            for number in () if keeps else fill:
                arrays[number][...] = whole.buffers[number].initial.reshape(-1)
            numpy_kernels.run([step], arrays, 1)
    return {output.name: _of_model(output, arrays) for output in whole.outputs}


def _of_model(output, arrays):
    """An output in the order of the model, out of the memory of its program."""
    found = arrays[output.buffer].reshape(-1, output.pixel or 1)
    if output.pixel:
        found = found[:, output.first :][:, : output.channels]
    sizes = output.shape[1:]
    if not output.is_turned:
        return found.reshape(1, *sizes).copy()
    return np.moveaxis(found.reshape(1, *sizes[1:], sizes[0]), -1, 1).copy()
