"""Run by the Python of an environment with hls4ml: its C simulation of a file on inputs.

    python hls4ml_program.py REQUEST

REQUEST is JSON: `file`, `inputs` (an .npz, one array of a model's inputs each), `folder` (to
work in), `outputs` (the .npz to write), `backend`, `io_type`, `default_precision`. What comes
out are the outputs by number, `output/0`, and what every layer gives, `layer/NAME`.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

KEY = "larqlite.hls4ml"


def main(request: dict) -> None:
    """Converts, compiles with g++, runs, writes."""
    import hls4ml
    import onnx

    model = onnx.load(request["file"])
    config = configured(hls4ml, model, request)
    made = hls4ml.converters.convert_from_onnx_model(
        model,
        hls_config=config,
        output_dir=request["folder"],
        backend=request["backend"],
        io_type=request["io_type"],
        project_name="network",
    )
    made.compile()
    given = np.load(request["inputs"])
    inputs = [np.ascontiguousarray(given[name], np.float32) for name in given.files]
    outputs, layers = made.trace(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    arrays = {f"output/{number}": array for number, array in enumerate(outputs)}
    arrays |= {f"layer/{name}": array for name, array in layers.items()}
    np.savez(request["outputs"], **arrays)


def configured(hls4ml, model, request: dict) -> dict:
    """The configuration of hls4ml with the types that the file tells."""
    told = {entry.key: entry.value for entry in model.metadata_props}.get(KEY, "{}")
    told = json.loads(told)
    default = request["default_precision"] or told.get("default_precision")
    config = hls4ml.utils.config_from_onnx_model(
        model,
        granularity="name",
        backend=request["backend"],
        default_precision=default or "fixed<32,16>",
    )
    for name, of_layer in told.get("layers", {}).items():
        layer = config["LayerName"][name]
        layer.setdefault("Precision", {}).update(of_layer.pop("Precision", {}))
        layer.update(of_layer)
    for name in config["LayerName"]:
        config["LayerName"][name]["Trace"] = True
    return config


if __name__ == "__main__":
    with Path(sys.argv[1]).open() as file:
        main(json.load(file))
    # hls4ml's libraries are not to be unloaded in any order.
    sys.stdout.flush()
    os._exit(0)
