"""The modules that other packages may import from, besides a folder's `__init__`: the doors.

`tests/test_structure.py` fails where an import across packages uses none of them. A new
door needs a sentence here that says why the folder's `__init__` is no place for it.
"""

DOORS = {
    # Public modules, documented as such.
    "larqlite.errors": "the error classes; importing them loads nothing else",
    "larqlite.outputs": "how files are written, with the errors of larqlite",
    "larqlite.utils": "public helpers; they load TensorFlow",
    "larqlite.analysis.internal": "samples with labels, and what is left of outputs, for searches",
    "larqlite.cli": "the command `lq`, which `python -m` and the runtime's `lq` begin",
    "larqlite.deploy.benchmark_engines": "engines that need TensorFlow, of one command only",
    "larqlite.deploy.verifier.internal": "files cut into parts, for targets; it loads ONNX",
    "larqlite.integer.layers.internal": "the base of integer layers and their registry, for models",
    "larqlite.integer.models.internal": "inputs and float layers of integer models, for exports",
    "larqlite.integer.models.transforms.internal": "what quantization does before it converts",
    "larqlite.integer.tensors.internal": "operations and rounding for integer layers and exports",
    "larqlite.qat.inference": "what quantization-aware layers compute, for converters",
    # Semi-public ones: what siblings need beside the public API of `__init__`.
    "larqlite.internal": "what the zoo needs: registering objects, copies of models",
    "larqlite.layers.internal": "padding as Keras does it; users have no need of it",
    "larqlite.models.internal": "the cost model's table, and what it knows of weights",
    "larqlite.qat.internal": "marked layers, which converters refuse; users call functions",
    "larqlite.qat.quantizers.internal": "calibration and calls of quantizers; users call functions",
    "larqlite.qat.tflite.internal": "files and the interpreter of TFLite, for other exports",
    "larqlite.quantizers.internal": "the table of quantizers, and which layer has one",
    "larqlite_zoo.datasets.internal": "the batches of a run, which training puts together",
    # Those of the runtime.
    "larqlite_runtime.arrays": "reading .npy and .npz, without loading kernels",
    "larqlite_runtime.benchmark": "contestants of a benchmark, without the command",
    "larqlite_runtime.benchmark_result": "what a benchmark measured, as data",
    "larqlite_runtime.cli": "the command `lq` on a device; `larqlite` adds its own words",
    "larqlite_runtime.command_output": "text or JSON, of every command; loads nothing",
    "larqlite_runtime.former_flags": "flags that commands had, for all of them; loads nothing",
    "larqlite_runtime.internal": "files in parts, or as one program, for `larqlite.deploy`",
    "larqlite_runtime.names": "names that a user may have meant, or that are free; loads nothing",
    "larqlite_runtime.notebook": "reports as HTML, of the cells of their text; loads nothing",
    "larqlite_runtime.outputs": "how files are written; needs no TensorFlow",
    "larqlite_runtime.pictures": "how pictures look; matplotlib is loaded when one is drawn",
    "larqlite_runtime.progress": "a line that shows how far work is; needs no package",
    "larqlite_runtime.start": "how a command begins, before anything large is loaded",
    "larqlite_runtime.tables": "tables as text; loads nothing",
    "larqlite_zoo.cli": "the command `lqz`",
}
