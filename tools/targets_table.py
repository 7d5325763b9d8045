"""Runs some networks on every target that is installed, and writes the tables of the pages.

    PYTHONPATH=tools python -m targets_table              # into targets.md and microcontroller.md
    PYTHONPATH=tools python -m targets_table --only demo  # prints one network's table

The pages are in `docs/deploy/`. Each network is trained for some steps, so that its signs are as
mixed as in use.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite import demo as lq_demo
from larqlite.deploy import TargetRow, TargetsReport

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "deploy"
HEADER = ("network", "machine", "integers equal", "labels equal", "a sample", "bytes")
L, Q = tf_keras.layers, lq.layers
SIGN = {
    "input_quantizer": "approx_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}
CORES = ("cortex-m0", "cortex-m4", "rv32")
ALL_CORES = (
    "cortex-m0",
    "cortex-m3",
    "cortex-m4",
    "cortex-m4-soft",
    "cortex-m7",
    "rv32",
)
OTHERS = ("keras", "onnxruntime", "native", "native:portable", "wasm")
SAMPLES = 5


@dataclass(frozen=True)
class Row:
    """A network of the table.

    Attributes:
        what: it is, for readers.
        build: makes it.
        pixels: whether it takes bytes from 0 to 255.
        cores: that QEMU emulates.
        others: further targets.
    """

    what: str
    build: Callable[[], tf_keras.Model]
    pixels: bool = False
    cores: tuple[str, ...] = CORES
    others: tuple[str, ...] = OTHERS


def _norm(x):
    return L.BatchNormalization(momentum=0.8)(x)


def _sequential(shape, *layers) -> tf_keras.Model:
    x = inputs = tf_keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return tf_keras.Model(inputs, x)


def clothes() -> tf_keras.Model:
    """That of the page about microcontrollers."""
    return _sequential(
        (28, 28, 1),
        L.Rescaling(1 / 128, -1),
        L.Conv2D(16, 3, strides=2, use_bias=False),
        _norm,
        Q.QuantConv2D(32, 3, padding="same", **SIGN),
        L.MaxPooling2D(),
        _norm,
        Q.QuantConv2D(32, 3, padding="same", **SIGN),
        _norm,
        L.Flatten(),
        Q.QuantDense(10, **SIGN),
        _norm,
    )


def demo() -> tf_keras.Model:
    """The network of `lq demo`."""
    return lq_demo.build_network()


def dense() -> tf_keras.Model:
    """Dense layers only."""
    return _sequential(
        (784,),
        Q.QuantDense(256, **SIGN),
        _norm,
        Q.QuantDense(256, **SIGN),
        _norm,
        Q.QuantDense(10, **SIGN),
        _norm,
    )


def residual() -> tf_keras.Model:
    """Ternary weights, and sums around each layer."""
    ternary = SIGN | {"kernel_quantizer": "ste_tern"}
    x = inputs = tf_keras.Input((16, 16, 3))
    x = _norm(L.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(x))
    for _ in range(2):
        x = x + _norm(Q.QuantConv2D(32, 3, padding="same", **ternary)(x))
    x = L.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, L.Dense(10, "softmax")(x))


def two_bits() -> tf_keras.Model:
    """Activations and weights of two bits (DoReFa)."""

    def quantizers():
        return {
            "input_quantizer": lq.quantizers.DoReFa(2),
            "kernel_quantizer": lq.quantizers.DoReFa(2, mode="weights"),
            "use_bias": False,
        }

    return _sequential(
        (16, 16, 3),
        L.Conv2D(16, 3, strides=2, use_bias=False),
        _norm,
        Q.QuantConv2D(24, 3, padding="same", **quantizers()),
        _norm,
        Q.QuantDepthwiseConv2D(
            3, depthwise_quantizer="ste_sign", input_quantizer="approx_sign"
        ),
        _norm,
        L.Flatten(),
        Q.QuantDense(10, **quantizers()),
    )


def sensor() -> tf_keras.Model:
    """Windows of a sensor, in one dimension."""
    return _sequential(
        (64, 6),
        L.Conv1D(24, 5, strides=2, use_bias=False),
        _norm,
        Q.QuantConv1D(33, 3, dilation_rate=2, **SIGN),
        _norm,
        Q.QuantConv1D(32, 3, strides=2, padding="same", **SIGN),
        L.MaxPooling1D(),
        _norm,
        L.Flatten(),
        Q.QuantDense(6, **SIGN),
        _norm,
        L.Softmax(),
    )


def unrolled() -> tf_keras.Model:
    """So small that an FPGA has a part of its own for every product."""
    return _sequential(
        (8, 8, 1),
        L.Conv2D(8, 3, use_bias=False),
        _norm,
        Q.QuantConv2D(8, 3, **SIGN),
        _norm,
        L.Flatten(),
        Q.QuantDense(10, **SIGN),
        _norm,
    )


def vgg() -> tf_keras.Model:
    """A network of the zoo."""
    return larqlite_zoo.get("binary_vgg_small", input_shape=(28, 28, 1), num_classes=10)


ROWS = {
    "clothes": Row("binary, 28x28, bytes", clothes, True, ALL_CORES),
    "demo": Row("`lq demo`, 28x28", demo),
    "dense": Row("dense layers only", dense),
    "residual": Row("ternary, residual, 16x16", residual),
    "two_bits": Row("2 bits, depthwise, 16x16", two_bits),
    "sensor": Row("1-D, 33 channels, dilated", sensor),
    # hls4ml compiles all products of a layer one beside the other: minutes for this one, and
    # more than g++ takes for the others.
    "unrolled": Row(
        "binary, 8x8, for FPGAs",
        unrolled,
        others=(*OTHERS, "hls4ml"),
        cores=("cortex-m4",),
    ),
    "vgg": Row("zoo: binary_vgg_small", vgg, cores=("cortex-m4",)),
}


def trained(row: Row) -> tuple[tf_keras.Model, np.ndarray]:
    """A network after some steps, and samples."""
    tf_keras.utils.set_random_seed(1)
    model = row.build()
    rng = np.random.default_rng(0)
    shape = (200, *model.input_shape[1:])
    x = rng.integers(0, 256, shape) if row.pixels else rng.normal(size=shape)
    y = rng.integers(0, model.output_shape[-1], 200)
    x = x.astype(np.float32)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, batch_size=20, epochs=1, verbose=0)
    return model, x[:SAMPLES]


def report_of(row: Row) -> TargetsReport:
    """A network on all machines that are installed."""
    model, x = trained(row)
    suffix = "pixels" if row.pixels else ""
    names = [f"c:{suffix}" if suffix else "c"]
    names += [f"c:{core}{'+' if suffix else ''}{suffix}" for core in row.cores]
    return lq.deploy.verify_on(model, [*row.others, *names], x)


def cells(row: TargetRow) -> tuple[str, ...]:
    """A line of the table, without the network."""
    if row.refused:
        return row.target, "refused", "-", "-", "-"
    taken, size = row.cost.taken, row.cost.size
    if row.is_reference:
        return row.target, "reference", "reference", taken, size
    return (
        row.target,
        "{:,} of {:,}".format(*row.integers),
        "{:,} of {:,}".format(*row.labels),
        taken,
        size,
    )


def table(reports: dict[str, TargetsReport]) -> str:
    """Markdown."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for name, report in reports.items():
        for number, row in enumerate(report.rows):
            lines.append((ROWS[name].what if not number else "", *cells(row)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, name: str, text: str) -> None:
    """Puts a table between its two comments in a page."""
    begin, end = (f"<!-- targets: {word} {name} -->" for word in ("begin", "end"))
    content = page.read_text(encoding="utf-8")
    pattern = rf"(?s){re.escape(begin)}.*?{re.escape(end)}"
    found = re.subn(pattern, lambda _: f"{begin}\n{text}\n{end}", content)
    if found[1] != 1:
        raise SystemExit(f"{page} has no place for the table {name}")
    page.write_text(found[0], encoding="utf-8")


def main(words: list[str]) -> int:
    """Runs the networks; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=ROWS)
    options = parser.parse_args(words)
    reports = {}
    for name in options.only or ROWS:
        reports[name] = report_of(ROWS[name])
        print(reports[name], flush=True)
    # A page has the whole table of one run, or keeps the one that it has.
    if options.only is None:
        write(PAGES / "targets.md", "all", table(reports))
        few = {"clothes": reports["clothes"]}
        write(PAGES / "microcontroller.md", "microcontroller", table(few))
    return int(not all(report.ok for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
