"""Measures the network of the README as float, int8 and binary, for the first picture.

`make first-picture` runs the ten lines of the README, trains the same network with ReLU in
place of the signs, takes that one to 8 bits by calibration, and measures the three files in
turns, one image and one thread each: how long they take, and how often they are right. What
it finds goes to `docs/_static/first_network.json`, and is drawn; `--draw` only draws.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import re
import sys
import tempfile

import numpy as np
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite_runtime.benchmark import Contestant, benchmark

from . import first_picture, shared_picture

README = first_picture.ROOT / "README.md"
SECTION = "## Ten lines"
IMAGES_TO_CALIBRATE = 500
# The files of the three forms; the README writes the binary one.
FLOAT, INT8, BINARY = "float.onnx", "int8.tflite", "clothes.onnx"


def ten_lines() -> str:
    """The code of the README that trains a network, writes it and verifies it."""
    section = README.read_text(encoding="utf-8").split(SECTION)[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def float_twin(model):
    """The same network in float: a ReLU before each convolution in place of its sign."""
    layers = tf_keras.layers
    twin = tf_keras.Sequential()
    for layer in model.layers:
        config = layer.get_config()
        if not isinstance(layer, (lq.layers.QuantConv2D, lq.layers.QuantDense)):
            twin.add(type(layer).from_config(config))
            continue
        twin.add(layers.ReLU())
        if isinstance(layer, lq.layers.QuantConv2D):
            keep = ("filters", "kernel_size", "strides", "padding", "use_bias")
            twin.add(layers.Conv2D(**{name: config[name] for name in keep}))
        else:
            twin.add(layers.Dense(config["units"], use_bias=config["use_bias"]))
    twin.build((None, *model.input_shape[1:]))
    return twin


def trained(twin, names: dict, epochs: int):
    """Trains the float network as the README trains the binary one, at a float's rate."""
    twin.compile(
        tf_keras.optimizers.Adam(0.001), names["model"].loss, metrics=["accuracy"]
    )
    twin.fit(names["x"], names["y"], epochs=epochs, verbose=0)
    return twin


def float_in_onnxruntime(path: str, content: bytes, threads: int) -> Contestant:
    """ONNX Runtime on the float network's own file, in place of the packed one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)
    (name,) = (item.name for item in session.get_inputs())

    def prepare(inputs):
        return lambda: session.run(None, {name: inputs[0]})

    return Contestant("float", f"ONNX Runtime {onnxruntime.__version__}", prepare)


def int8_in_tflite(path: str, content: bytes, threads: int) -> Contestant:
    """TFLite on the int8 network's file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (made,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )

    def prepare(inputs):
        x = inputs[0].astype(given["dtype"])

        def call():
            interpreter.set_tensor(given["index"], x)
            interpreter.invoke()
            return [interpreter.get_tensor(made["index"])]

        return call

    return Contestant("int8", "TFLite", prepare)


def right(contestant: Contestant, images: np.ndarray, labels: np.ndarray) -> float:
    """How often a file is right, as its engine runs it: one image at a time."""
    given = images.astype(np.float32)
    hits = [
        np.argmax(contestant.prepare([given[i : i + 1]])()[0]) == label
        for i, label in enumerate(labels)
    ]
    return float(np.mean(hits))


def larqlite_on(path: str, threads: int) -> Contestant:
    """The packed file, as its users run it."""
    packed = larqlite_runtime.load(path, threads=threads)
    return Contestant("larqlite", "packed", lambda inputs: lambda: [packed(inputs[0])])


def make_files() -> tuple[np.ndarray, np.ndarray]:
    """Trains the three forms and writes their files in the current folder.

    Returns:
        Images and labels to test on.
    """
    names: dict = {}
    exec(compile(ten_lines(), str(README), "exec"), names)
    epochs = names["model"].history.params["epochs"]
    tf_keras.utils.set_random_seed(1)
    twin = trained(float_twin(names["model"]), names, epochs)
    lq.deploy.export(twin, FLOAT)
    aware = lq.qat.quantize_model(twin, calibrate=names["x"][:IMAGES_TO_CALIBRATE])
    lq.qat.to_tflite(aware, INT8)
    return names["x_test"], names["y_test"]


def measure(
    machine: str, seconds: float, images: np.ndarray, labels: np.ndarray
) -> dict:
    """Measures the three files in the current folder.

    Args:
        machine: what it is called.
        seconds: to time each file for.
        images: to count on how often each file is right.
        labels: of the images.

    Returns:
        The figures of the picture.
    """
    others = [
        functools.partial(float_in_onnxruntime, FLOAT),
        functools.partial(int8_in_tflite, INT8),
    ]
    found = benchmark(BINARY, others, threads=1, seconds=seconds)
    print(found)
    times = {timing.engine: timing for timing in found.timings}
    rows = [
        ("float", 32, "ONNX Runtime", FLOAT, others[0](b"", 1)),
        ("int8", 8, "TFLite", INT8, others[1](b"", 1)),
        ("binary", 1, "larqlite", BINARY, larqlite_on(BINARY, 1)),
    ]
    forms = [
        {
            "form": form,
            "engine": engine,
            "bits": bits,
            "bytes": os.path.getsize(file),
            "milliseconds": round(1e3 * times[contestant.name].median, 4),
            "quartiles": [
                round(1e3 * value, 4)
                for value in (times[contestant.name].low, times[contestant.name].high)
            ],
            "accuracy": round(right(contestant, images, labels), 4),
        }
        for form, bits, engine, file, contestant in rows
    ]
    return {
        "title": "The same network in three forms",
        "machine": machine,
        "instructions": found.isa,
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
        "test_images": len(labels),
        "forms": forms,
    }


def draw(figures: dict) -> None:
    """Writes the pictures beside their figures."""
    for name, text in first_picture.pictures(figures).items():
        (first_picture.STATIC / name).write_text(text, encoding="utf-8")
    shared_picture.draw(figures, first_picture.STATIC / shared_picture.NAME)
    print("wrote the pictures in docs/_static")


def main(words: list[str]) -> None:
    """Measures, writes the figures, and draws them; `--draw` only draws."""
    if words == ["--draw"]:
        draw(json.loads(first_picture.FIGURES.read_text(encoding="utf-8")))
        return
    machine = " ".join(words) if words else "one core of this machine"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        figures = measure(machine, 3.0, *make_files())
        os.chdir(first_picture.ROOT)
    first_picture.FIGURES.write_text(
        json.dumps(figures, indent=1) + "\n", encoding="utf-8"
    )
    draw(figures)


if __name__ == "__main__":
    main(sys.argv[1:])
