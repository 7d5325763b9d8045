"""What runs a trained network: how each engine's file is made, and how it is run.

Making a file needs TensorFlow and happens in a process of its own:
`python engines.py ENGINE NETWORK PATH`. Running imports the engine alone. What Keras
answers is a file, too: the numbers that every engine has to find.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import inputs
import numpy as np

# The variables that say where files are kept, for all rows of a run of the driver, and
# which Python has larqlite.
FOLDER = "LARQLITE_BENCHMARK_FILES"
PYTHON = "LARQLITE_BENCHMARK_PYTHON"
Run = Callable[[np.ndarray], np.ndarray]
HERE = pathlib.Path(__file__).resolve().parent


@dataclass(frozen=True)
class Engine:
    """One way to run a network.

    Args:
        ending: of its files.
        make: writes the file of a Keras model, which has a name in the benchmarks.
        load: gives the function of one input that runs a file on some threads.
        makes_alone: whether making needs the engine's own environment.
    """

    ending: str
    make: Callable[..., None]
    load: Callable[..., Run]
    makes_alone: bool = False


def load(engine: str, network: str, threads: int = 1, **options) -> Run:
    """The function that runs a network; its file is made if it is not there yet."""
    path = file_of(engine, network)
    return ENGINES[engine].load(path, threads, **options)


def file_of(engine: str, network: str) -> pathlib.Path:
    """The file of a network, in the folder that `FOLDER` names."""
    folder = pathlib.Path(os.environ[FOLDER])
    name = f"{engine}-{network.replace(':', '-')}.{ENGINES[engine].ending}"
    path = folder / name
    if not path.exists():
        python, variables = sys.executable, dict(os.environ)
        if not ENGINES[engine].makes_alone and PYTHON in os.environ:
            python = os.environ[PYTHON]
            variables["PYTHONPATH"] = str(HERE.parent)
            variables.pop("TF_USE_LEGACY_KERAS", None)
        command = [python, __file__, engine, network, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=variables)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return path


def answers(run: Run, network: str) -> list[float]:
    """One number for each of the seeded inputs: the output, centred, times a direction."""
    return [
        _project(np.asarray(run(inputs.batch(network, seed)), "float64").ravel())
        for seed in range(inputs.count(network))
    ]


def answers_of_keras(network: str) -> list[float]:
    """The numbers of `answers` as Keras has them, from a file that is made once."""
    return json.loads(file_of("keras", network).read_text())


def _project(values: np.ndarray) -> float:
    direction = np.random.default_rng(4).normal(0, 1, values.size)
    return float(direction @ (values - values.mean()))


def _write_answers(model, path: pathlib.Path, network: str) -> None:
    path.write_text(json.dumps(answers(model.predict_on_batch, network)))


def _no_engine(path: pathlib.Path, threads: int) -> Run:
    raise RuntimeError(f"{path.name} holds numbers; the engine is called tensorflow.")


def _of(module: str, name: str) -> Callable:
    """A function of a module that is imported when it is needed."""
    return lambda *args, **options: getattr(importlib.import_module(module), name)(
        *args, **options
    )


def _export(model, path: pathlib.Path, network: str) -> None:
    import larqlite as lq

    lq.deploy.export(model, path)


def _load_runtime(path: pathlib.Path, threads: int, **options) -> Run:
    import larqlite_runtime

    return larqlite_runtime.load(path, threads=threads, **options)


def _convert_with_lce(model, path: pathlib.Path, network: str) -> None:
    import larq_compute_engine as lce

    path.write_bytes(lce.convert_keras_model(model))


def _load_lce(path: pathlib.Path, threads: int, xnnpack: bool = True) -> Run:
    from larq_compute_engine.tflite.python import interpreter_wrapper_lite

    # The order is: content, threads, reference kernels, indirect BGEMM, XNNPACK.
    interpreter = interpreter_wrapper_lite.LiteInterpreter(
        path.read_bytes(), threads, False, True, xnnpack
    )
    return lambda x: interpreter.predict([x])[0]


def _convert_to_int8(model, path: pathlib.Path, network: str) -> None:
    import tensorflow as tf

    images = [inputs.batch(network, seed) for seed in range(10, 18)]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path.write_bytes(converter.convert())


def _load_litert(path: pathlib.Path, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    # Its default is XNNPACK.
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    made = interpreter.get_output_details()[0]["index"]

    def run(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given, x)
        interpreter.invoke()
        return interpreter.get_tensor(made)

    return run


def _save(model, path: pathlib.Path, network: str) -> None:
    model.save(path)


def _load_tensorflow(path: pathlib.Path, threads: int) -> Run:
    import tensorflow as tf
    import tf_keras

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf_keras.models.load_model(path, compile=False)
    function = tf.function(lambda x: model(x, training=False))
    return lambda x: function(tf.constant(x)).numpy()


ENGINES = {
    "runtime": Engine("onnx", _export, _load_runtime),
    "lce": Engine("tflite", _convert_with_lce, _load_lce, makes_alone=True),
    "int8": Engine("tflite", _convert_to_int8, _load_litert),
    "ort_int8": Engine(
        "onnx", _of("onnx_int8", "write_int8"), _of("onnx_int8", "load")
    ),
    "ort_2bits": Engine(
        "onnx", _of("onnx_int8", "write_2_bits"), _of("onnx_int8", "load")
    ),
    "ort_4bits": Engine(
        "onnx", _of("onnx_int8", "write_4_bits"), _of("onnx_int8", "load")
    ),
    "ggml": Engine("npz", _of("ggml_engine", "write"), _of("ggml_engine", "load")),
    "tensorflow": Engine("keras", _save, _load_tensorflow),
    "keras": Engine("json", _write_answers, _no_engine),
    "openvino": Engine(
        "npz", _of("plain_networks", "write"), _of("openvino_engine", "load")
    ),
}


def main(engine: str, network: str, path: str) -> None:
    """Make a file; it is there as a whole or not at all."""
    import deployed_networks

    wanted = pathlib.Path(path)
    part = wanted.with_stem(f"{wanted.stem}-{os.getpid()}")
    ENGINES[engine].make(deployed_networks.build(network), part, network)
    part.rename(wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
