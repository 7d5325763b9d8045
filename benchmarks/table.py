"""The benchmarks: what each row times, on which two sides, and what it has to reach."""

from rows import Row, Side
from table_codes import CODES
from table_deployed import DEPLOYED
from table_integer import INTEGER
from table_peers import PEERS
from table_threads import THREADS


def _against_larq(name: str, what: str, workload: str, *, options=None, **row) -> Row:
    options = options or {}
    return Row(
        name,
        what,
        workload,
        Side("larqlite", options),
        Side("larq", options),
        **row,
    )


def _bfloat16(network: str, what: str, batch_size: int) -> Row:
    options = {"network": network, "batch_size": batch_size}
    return Row(
        f"bfloat16_{network}_{batch_size}",
        f"training step, {what} (batch {batch_size}), mixed_bfloat16 / float32",
        "training",
        Side("larqlite", {**options, "policy": "mixed_bfloat16"}),
        Side("larqlite", options),
        reach=0.65,
        agree=None,
    )


ZOO_MODELS = (
    "BinaryAlexNet",
    "BiRealNet",
    "BinaryResNetE18",
    "BinaryDenseNet28",
    "BinaryDenseNet37",
    "BinaryDenseNet37Dilated",
    "BinaryDenseNet45",
    "DoReFaNet",
    "MeliusNet22",
    "RealToBinaryNet",
    "XNORNet",
    "QuickNetSmall",
    "QuickNet",
    "QuickNetLarge",
)


def _built(model: str) -> Row:
    return _against_larq(
        f"build_{model}",
        f"build and summary of {model}, against Larq Zoo",
        "zoo_build",
        options={"model": model},
        reach=1.0,
        rounds=5,
    )


def _qat(name: str, what: str, part: str, other: Side, reach: float, **row) -> Row:
    what = f"{what} (MobileNetV2, 32x32{', batch 32' if part == 'step' else ''})"
    return Row(name, what, "qat", Side("larqlite", {"part": part}), other, reach, **row)


ROWS = (
    _against_larq(
        "binary_vgg",
        "training step, binary VGG (32x32, batch 16)",
        "training",
        options={"network": "binary_vgg", "batch_size": 16},
        reach=0.93,
    ),
    _against_larq(
        "bireal_net",
        "training step, 18-layer Bi-Real network (224x224, batch 2)",
        "training",
        options={"network": "bireal_net", "batch_size": 2},
        reach=0.93,
    ),
    _against_larq("bop", "Bop update, 11M weights", "bop", reach=0.5, steps=3),
    _against_larq(
        "flip_ratio", "flip_ratio update, 11M weights", "flip_ratio", reach=0.6, steps=3
    ),
    _against_larq(
        "ste_sign",
        "ste_sign forward + backward, 4M floats, plain graph",
        "ste_sign",
        reach=1.0,
        steps=10,
    ),
    _against_larq(
        "ste_sign_jit",
        "the same inside jit_compile=True, both sides",
        "ste_sign",
        options={"jit_compile": True},
        reach=0.5,
        steps=10,
    ),
    Row(
        "ste_sign_jit_plain",
        "the same, jit_compile=True against the plain graph",
        "ste_sign",
        Side("larqlite", {"jit_compile": True}),
        Side("larq"),
        reach=0.5,
        steps=10,
    ),
    _bfloat16("binary_vgg", "binary VGG", 16),
    _bfloat16("bireal_net", "Bi-Real network", 2),
    _bfloat16("bireal_net", "Bi-Real network", 8),
    Row(
        "input_pipeline",
        "ImageNet's training images from JPEG files / BiRealNet's step (224x224, batch 4)",
        "input_pipeline",
        Side("larqlite", {"part": "pipeline", "batch_size": 4}),
        Side("larqlite", {"part": "bireal_net", "batch_size": 4}),
        reach=0.5,
        aim=0.1,
        rounds=5,
        agree=None,
    ),
    *map(_built, ZOO_MODELS),
    _qat(
        "qat_quantize",
        "quantize_model, against TFMOT",
        "quantize",
        Side("tfmot", {"part": "quantize"}),
        reach=0.5,
        rounds=7,
    ),
    _qat(
        "qat_step",
        "int8 QAT training step, against TFMOT",
        "step",
        Side("tfmot", {"part": "step"}),
        reach=0.85,
    ),
    _qat(
        "qat_step_float",
        "int8 QAT training step, against the float network's",
        "step",
        Side("larqlite", {"part": "float"}),
        reach=1.25,
        agree=None,
    ),
    Row(
        "import",
        "first import, tf_keras already loaded",
        "import_time",
        Side("larqlite"),
        None,
        reach=0.3,
        rounds=7,
        agree=None,
    ),
    *DEPLOYED,
    *THREADS,
    *PEERS,
    *CODES,
    *INTEGER,
)
