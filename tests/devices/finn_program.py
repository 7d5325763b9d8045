"""Run by the Python of an environment with FINN: a file, converted and streamlined, on inputs.

python finn_program.py FILE INPUTS.npy OUTPUTS.npz
"""

import sys

import numpy as np


def main(file: str, inputs: str, outputs: str) -> None:
    """Writes what comes out before, after converting, and after streamlining."""
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from finn.transformation.streamline import Streamline
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    x, found = np.load(inputs), {}
    model = cleanup_model(ModelWrapper(file))
    for name, transformation in (
        ("clean", None),
        ("converted", ConvertQONNXtoFINN()),
        ("streamlined", Streamline()),
    ):
        if transformation is not None:
            model = model.transform(transformation)
        given, taken = model.graph.input[0].name, [o.name for o in model.graph.output]
        rows = [execute_onnx(model, {given: x[i : i + 1]}) for i in range(len(x))]
        for number, output in enumerate(taken):
            found[f"{name}/{number}"] = np.concatenate([row[output] for row in rows])
        found[f"{name}/operations"] = np.array([n.op_type for n in model.graph.node])
    np.savez(outputs, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
