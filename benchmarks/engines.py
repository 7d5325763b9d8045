"""What runs a trained network: how each engine's file is made, and how it is run.

Making a file needs TensorFlow and happens in a process of its own:
`python engines.py ENGINE NETWORK PATH`. Running imports the engine alone.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# The variable that says where files are kept, for all rows of a run of the driver.
FOLDER = "LARQLITE_BENCHMARK_FILES"
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Engine:
    """One way to run a network.

    Args:
        ending: of its files.
        make: writes the file of a Keras model.
        load: gives the function of one input that runs a file on some threads.
    """

    ending: str
    make: Callable[..., None]
    load: Callable[..., Run]


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
        command = [sys.executable, __file__, engine, network, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return path


def _export(model, path: pathlib.Path) -> None:
    import larqlite as lq

    lq.deploy.export(model, path)


def _load_runtime(path: pathlib.Path, threads: int, isa: str | None = None) -> Run:
    import larqlite_runtime

    return larqlite_runtime.load(path, threads=threads, isa=isa)


def _convert_with_lce(model, path: pathlib.Path) -> None:
    import larq_compute_engine as lce

    path.write_bytes(lce.convert_keras_model(model))


def _load_lce(path: pathlib.Path, threads: int, xnnpack: bool = True) -> Run:
    from larq_compute_engine.tflite.python import interpreter_wrapper_lite

    # The order is: content, threads, reference kernels, indirect BGEMM, XNNPACK.
    interpreter = interpreter_wrapper_lite.LiteInterpreter(
        path.read_bytes(), threads, False, True, xnnpack
    )
    return lambda x: interpreter.predict([x])[0]


def _convert_to_int8(model, path: pathlib.Path) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(3)
    shape = (1, *model.input_shape[1:])
    images = [rng.normal(0, 1, shape).astype("float32") for _ in range(8)]
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


def _save(model, path: pathlib.Path) -> None:
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
    "lce": Engine("tflite", _convert_with_lce, _load_lce),
    "int8": Engine("tflite", _convert_to_int8, _load_litert),
    "tensorflow": Engine("keras", _save, _load_tensorflow),
}


def main(engine: str, network: str, path: str) -> None:
    """Make a file; it is there as a whole or not at all."""
    import deployed_networks

    wanted = pathlib.Path(path)
    part = wanted.with_stem(f"{wanted.stem}-{os.getpid()}")
    ENGINES[engine].make(deployed_networks.build(network), part)
    part.rename(wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
