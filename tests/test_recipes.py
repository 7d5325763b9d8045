"""The recipes of CONTRIBUTING.md: their code adds one of each, from training to the runtime.

The code is written as the page has it, into a package that is not in the repository.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
import larqlite_zoo
from larqlite_runtime import format
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.reader.operators import OPERATORS
from tests.test_docs import pages

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE_OF = re.compile(r"\A# theirs/(\w+)\.py\n")
BLOCKS = {
    found[1]: block
    for block in pages.blocks_of(TEXT)
    if (found := FILE_OF.match(block.code))
}
layers = tf_keras.layers
UNIFORM = tf_keras.initializers.RandomUniform(-1, 1, seed=1)
IMAGES = np.random.default_rng(0).uniform(-2, 2, (16, 8, 8, 3)).astype("float32")
ROWS = IMAGES[:, 0, :, 0].copy()
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Imports a file of the page, from a package outside of the repository."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, block in BLOCKS.items():
        (folder / f"{name}.py").write_text(block.code)
    monkeypatch.syspath_prepend(tmp_path)
    tables = (OPERATORS[""], format.OPERATIONS, format.QUANTIZERS)
    kept = [(table, dict(table)) for table in tables]
    yield lambda name: importlib.import_module(f"theirs.{name}")
    for table, content in kept:
        table.clear()
        table.update(content)
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        del sys.modules[name]


def sequential(*parts, shape=ROWS.shape[1:]):
    return tf_keras.Sequential([tf_keras.Input(shape), *parts])


def trained(model, x):
    """The model after two steps, which change each of its weights."""
    before = [weight.numpy() for weight in model.trainable_variables]
    model.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    targets = np.random.default_rng(1).normal(size=(len(x), *model.output_shape[1:]))
    model.fit(x, targets, batch_size=len(x) // 2, verbose=0)
    for old, weight in zip(before, model.trainable_variables, strict=True):
        assert not np.array_equal(old, weight.numpy()), weight.name
    return model


def counted(model):
    """The products of a model by bits, all of whose layers the summary knows."""
    lines = []
    lq.models.summary(model, print_fn=lines.append)
    assert "?" not in "\n".join(lines)
    return lq.models.profile(model).macs_by_bits


def deployed(model, x, tmp_path):
    """The report of a model's file, which says on the runtime what Keras says."""
    path = tmp_path / "model.onnx"
    report = lq.deploy.export(model, path, data=x)
    assert lq.deploy.verify(model, path, x).ok
    (found,) = larqlite_runtime.load(path).run(x).values()
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes
    return report


@pytest.mark.parametrize("name", BLOCKS)
def test_a_recipe_takes_ten_statements(name):
    """Those that are more than an import or a docstring."""
    counted = [
        node
        for node in ast.walk(ast.parse(BLOCKS[name].code))
        if isinstance(node, ast.stmt)
        and not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert len(counted) <= 10


def test_a_quantizer(theirs, tmp_path):
    theirs("quantizer")
    ours = {"kernel_quantizer": "triangle_tern", "kernel_initializer": UNIFORM}
    model = sequential(
        lq.layers.QuantDense(32, **{**BINARY, **ours}),
        lq.layers.QuantDense(5, **{**BINARY, "input_quantizer": "triangle_tern"}),
    )
    trained(model, ROWS)
    assert counted(model) == {(2, 1): 8 * 32, (1, 2): 32 * 5}
    kernel = model.layers[0].latent_weight().numpy()
    levels = (kernel >= 0.5).astype(int) - (kernel <= -0.5)
    found = model.layers[0].quantized_weight().numpy()
    np.testing.assert_array_equal(found, levels)
    report = deployed(model, ROWS, tmp_path)
    assert [row.operation for row in report.packed] == ["TDense", "BDense"]


def test_a_layer(theirs, tmp_path):
    module, rows = theirs("layer"), IMAGES[:, 0]
    layer = module.QuantEinsumDense("...x,xy->...y", 5, bias_axes="y", **BINARY)
    model = trained(sequential(layer, shape=rows.shape[1:]), rows)
    assert counted(model) == {(1, 1): 8 * 3 * 5}
    kernel = np.where(layer.latent_weight().numpy() < 0, -1.0, 1.0)
    expected = np.where(rows < 0, -1.0, 1.0) @ kernel + layer.bias.numpy()
    np.testing.assert_allclose(model(rows), expected, rtol=1e-6)
    model.save(tmp_path / "model.keras")
    again = lq.models.load(tmp_path / "model.keras")
    report = deployed(again, rows, tmp_path)
    assert [row.operation for row in report.packed] == ["BDense"]
    in_float = {**BINARY, "input_quantizer": None}
    layer = module.QuantEinsumDense("...x,xy->...y", 5, **in_float)
    report = deployed(sequential(layer, shape=rows.shape[1:]), rows, tmp_path)
    assert [row.operation for row in report.packed] == ["float"]
    other = sequential(module.QuantEinsumDense("ax,xy->ay", 5, **BINARY))
    with pytest.raises(lq.errors.UnsupportedLayerError, match="no Dense layer"):
        lq.deploy.export(other, tmp_path / "other.onnx")


def gained(theirs, **options):
    """A quantization-aware Dense with a Gain, whose numbers differ."""
    model = sequential(layers.Dense(6, name="dense"), theirs("rule").Gain(name="gain"))
    model.set_weights([*model.get_weights()[:2], np.linspace(0.5, 2.0, 6)])
    return lq.qat.quantize_model(model, calibrate=ROWS, **options)


def test_a_rule_and_a_lowering(theirs):
    quantized = gained(theirs)
    found = lq.qat.report(quantized, verbose=False).layer("quant_gain")
    assert (found.weights, found.outputs) == ({"gain": 8}, 8)
    assert counted(trained(quantized, ROWS)) == {(8, 8): 8 * 6}
    theirs("lowering")
    content = lq.qat.to_tflite(quantized)
    compared = lq.qat.compare_tflite(quantized, content, ROWS)
    assert round(compared.largest_steps) <= 1


def test_a_pass(theirs):
    plain = lq.qat.report(gained(theirs), verbose=False)
    assert plain.layer("quant_dense").activations
    scheme = theirs("gain_pass").FusedGain()
    fused = lq.qat.report(gained(theirs, scheme=scheme), verbose=False)
    assert fused.layer("quant_dense").weights == {"kernel": 8}
    assert not fused.layer("quant_dense").activations
    assert fused.layer("quant_gain").outputs == 8


def test_a_converter(theirs, tmp_path):
    quantized = trained(gained(theirs), ROWS)
    with pytest.raises(lq.errors.UnsupportedLayerError, match="Gain"):
        lq.deploy.export(quantized, tmp_path / "model.onnx")
    theirs("converter")
    deployed(quantized, ROWS, tmp_path)
    gain = theirs("rule").Gain
    both_orders = [gain(), layers.Conv2D(3, 3), gain(), layers.Flatten(), gain()]
    model = sequential(*both_orders, shape=IMAGES.shape[1:])
    deployed(trained(model, IMAGES), IMAGES, tmp_path)


class AboveAQuarter(lq.quantizers.Quantizer):
    """1 above 1/4, else 0."""

    precision = 1

    def forward(self, x):
        return tf.cast(x > 0.25, x.dtype)

    def derivative(self, x):
        return abs(x) <= 1


def convert_above_a_quarter(graph, quantizer, value):
    return graph.quantized(value, "Above", threshold=0.25)


def test_an_operation_of_the_format(theirs, tmp_path):
    operation = theirs("operation").ABOVE
    lq.deploy.activation_converter(AboveAQuarter)(convert_above_a_quarter)
    ours = {**BINARY, "input_quantizer": AboveAQuarter()}
    parts = lq.layers.QuantDense(32, **ours), lq.layers.QuantDense(3, **ours)
    model = sequential(parts[0], layers.BatchNormalization(), parts[1])
    x = np.concatenate([ROWS, np.full((2, 8), 0.25, np.float32)])
    trained(model, x)
    report = deployed(model, x, tmp_path)
    assert [row.operation for row in report.packed] == ["BDense", "BDense"]
    found = operation.values_of(x, {"threshold": 0.25})
    np.testing.assert_array_equal(found, AboveAQuarter()(x))
    path = tmp_path / "qonnx.onnx"
    lq.deploy.to_qonnx(model, path)
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert nodes.count("Quant") == 2
    with pytest.raises(ValueError, match='"Above" already'):
        format.register(dataclasses.replace(operation))


def test_a_float_operation_of_the_runtime(theirs, tmp_path):
    module = theirs("float_operation")
    model = sequential(
        lq.layers.QuantConv2D(32, 3, use_bias=False, **BINARY),
        module.Arctangent(),
        lq.layers.QuantConv2D(2, 3, **BINARY),
        shape=IMAGES.shape[1:],
    )
    deployed(trained(model, IMAGES), IMAGES, tmp_path)
    explained = larqlite_runtime.load(tmp_path / "model.onnx").explain()
    (segment,) = [step for step in explained.steps if step.kind == "segment"]
    assert segment.nodes == ("arctangent",)  # no Transpose around it
    del OPERATORS[""]["Atan"]
    with pytest.raises(larqlite_runtime.ModelFileError, match="Atan"):
        larqlite_runtime.load(tmp_path / "model.onnx")


def test_an_integer_layer(theirs, tmp_path):
    theirs("integer_layer")
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3))
    float_model = sequential(
        layers.Conv2D(4, 3, activation="relu"),
        layers.Cropping2D(((1, 0), (2, 1)), name="cropping2d"),
        layers.Flatten(),
        layers.Dense(2),
        shape=(8, 8, 3),
    )
    model = lq.integer.models.quantize(float_model, samples=images)
    names = [type(layer).__name__ for layer in model.layers]
    assert "QuantizedCropping2D" in names
    assert lq.integer.models.check_quantization(model) == []
    expected = float_model(images).numpy()
    np.testing.assert_allclose(model(images), expected, atol=0.1 * abs(expected).max())
    trained(model, images)
    assert lq.models.profile(model).layer("cropping2d").macs == 0
    path = tmp_path / "model.onnx"
    lq.integer.export.to_onnx(model, path)
    assert lq.integer.export.compare(model, path, images).is_exact


def test_a_model_of_the_zoo_and_its_recipe(theirs, tmp_path, monkeypatch):
    from larqlite_zoo import cli, training

    monkeypatch.chdir(tmp_path)
    flags = "--epochs 1 --train-images 128 --validation-images 32 --no-tensorboard"
    imports = ("--import", "theirs.model", "theirs.training")
    cli.main(["train", "tiny_net", *imports, *flags.split()])
    model = lq.models.load(tmp_path / "runs" / "TrainTinyNet" / "tiny_net.keras")
    assert counted(model) == {(1, 1): 26 * 26 * 9 * 8, (32, 32): 80}
    assert larqlite_zoo.card("tiny_net").costs.parameters == 346
    x = np.random.default_rng(0).uniform(-1, 1, (4, 28, 28, 1)).astype("float32")
    assert deployed(model, x, tmp_path).packed[0].operation == "BConv2D"
    assert training.recipe("TinyNet").epochs == 20


def paths_in(text):
    """The files and folders that a text names; one without a folder lies beside the last."""
    folder = ""
    for name in re.findall(r"`((?:\w+/)+|[\w/]+\.(?:py|h|cc|inc))`", text):
        path = name if "/" in name else f"{folder}/{name}"
        folder = path.rpartition("/")[0]
        assert (ROOT / path).exists(), path
        yield path


@pytest.mark.parametrize(
    ("kinds", "plain", "begins"),
    [
        (EpilogueKind, ("DIVIDE", "PRELU"), "An **epilogue**"),
        (StepKind, ("LOAD", "MEAN", "POOL_MAX"), "A **kind of step**"),
    ],
    ids=["epilogue", "step"],
)
def test_what_names_a_kernel_is_named_by_its_recipe(kinds, plain, begins):
    """A kernel is compiled with the others: that there are no more places is counted."""
    recipe = tuple(paths_in(TEXT.partition(begins)[2].partition("**")[0]))
    files = [*(ROOT / "native").glob("*.*"), *(ROOT / "larqlite_runtime").rglob("*.py")]
    for name in plain:
        word = re.compile(rf"\b(LQ_|{kinds.__name__}\.){name}\b")
        for file in files:
            path = file.relative_to(ROOT).as_posix()
            if file.suffix != ".md" and word.search(file.read_text(encoding="utf-8")):
                assert path.startswith(recipe), f"the recipe leaves out {path}: {name}"
