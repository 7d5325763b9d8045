"""Instructions of generated C, counted in QEMU: `python benchmarks/devices/run.py`.

Of binary 3x3 layers in instructions a product, and with `--network FILE.onnx` of a whole network
a picture. QEMU knows no cycles: these are no times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from counting import counted
from layers import layer_file, layer_program

from larqlite.deploy.targets._boards import BOARDS
from larqlite.deploy.targets.c._source import source_of
from larqlite.deploy.targets.c._text import literals
from larqlite_runtime.internal import whole_program

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "rv32")
LAYERS = ((64, 8), (32, 16))
# Instructions a product to reach at -O2, half of the inputs -1; and those of int8 convolutions of
# CMSIS-NN (commit 99f736a, -Ofast, arm_convolve_wrapper_s8), counted the same way.
REACH = {
    "cortex-m0": ((0.26, 0.33), (6.33, 6.70)),
    "cortex-m3": ((0.20, 0.25), (2.67, 2.87)),
    "cortex-m4": ((0.19, 0.24), (1.76, 1.93)),
    "cortex-m7": ((0.19, 0.24), (1.76, 1.93)),
}
# What starts a program of a layer, fills its input and checks it.
NOT_COUNTED = (
    *("reset", "begin", "prepare", "main", "call", "stop", "elsewhere"),
    *("memcpy", "memcmp", "memset"),
)


def main(arguments: list[str] | None = None) -> int:
    """Counts and prints; 1 if a reach is missed."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(options, Path(folder))
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print("  ".join(f"{row.get(name, '')!s:>14}" for name in HEADER))
    return int(any(row.get("reached") == "no" for row in rows))


HEADER = (
    *("core", "what", "algorithm", "density", "instructions", "reach", "reached"),
    *("flash", "ram"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", nargs="+", default=CORES, choices=sorted(BOARDS))
    parser.add_argument("--algorithms", nargs="+", default=["sets"])
    parser.add_argument("--density", nargs="+", type=float, default=[0.5])
    parser.add_argument("--flags", nargs="+", default=["-O2"])
    parser.add_argument("--network", metavar="FILE.onnx", help="instead of layers")
    parser.add_argument(
        "--picture", metavar="FILE.npy", help="for the network; random by default"
    )
    parser.add_argument("--pixels", nargs=2, type=float, metavar=("SCALE", "OFFSET"))
    parser.add_argument("--json", action="store_true")
    return parser


def _rows(options: argparse.Namespace, folder: Path) -> list[dict]:
    rows = [{name: name for name in HEADER}] if not options.json else []
    if options.network:
        return rows + [_network(options, core, folder) for core in options.cores]
    for number, (channels, size) in enumerate(LAYERS):
        path = layer_file(channels, size, folder)
        for core in options.cores:
            for algorithm in options.algorithms:
                for density in options.density:
                    program = layer_program(path, algorithm, density)
                    found, flash, ram = _count(
                        core, program.text, folder, options, NOT_COUNTED
                    )
                    each = found / program.products
                    row = {
                        "core": core,
                        "what": f"{channels}, {size}x{size}",
                        "algorithm": program.made.algorithm.name,
                        "density": density,
                        "instructions": round(each, 4),
                        "flash": flash,
                        "ram": ram,
                    }
                    if core in REACH and algorithm == "sets" and density == 0.5:
                        reach, cmsis = (both[number] for both in REACH[core])
                        row |= {"reach": reach, "int8": cmsis}
                        row["reached"] = "yes" if each <= reach else "no"
                    rows.append(row)
    return rows


def _count(
    core: str,
    text: str,
    folder: Path,
    options: argparse.Namespace,
    apart: tuple[str, ...],
) -> tuple[int, int, int]:
    """Instructions of a program but for some functions, and bytes of flash and RAM."""
    board = BOARDS[core]
    source = folder / "layer.c"
    source.write_text(f"int main(void);\n{text}", encoding="ascii")
    program = board.build([source], folder, *options.flags)
    found = counted(board, program)
    return sum(
        count for name, count in found.items() if name not in apart
    ), *board.sizes(program)


def _network(options: argparse.Namespace, core: str, folder: Path) -> dict:
    """A picture of random pixels, or of random floats, if none is given."""
    pixels = tuple(options.pixels) if options.pixels else False
    whole = whole_program(options.network, pixels=pixels, small=True)
    source = source_of(whole, "network")
    (folder / "network.h").write_text(source.header, encoding="ascii")
    rng = np.random.default_rng(0)
    tables, given = [], []
    for number, item in enumerate(whole.inputs):
        count = int(np.prod(item.shape[1:]))
        ctype, values = "float", rng.uniform(-1, 1, count).astype(np.float32)
        if item.dtype == np.uint8:
            ctype, values = "uint8_t", rng.integers(0, 256, count)
        if options.picture:
            values = np.load(options.picture).reshape(-1)[:count]
        listed = ", ".join(literals(values, ctype))
        tables.append(f"static const {ctype} in_{number}[] = {{{listed}}};")
        given.append(f"in_{number}")
    for number, item in enumerate(whole.outputs):
        count = int(np.prod(item.shape[1:]))
        tables.append(f"static float out_{number}[{count}];")
        given.append(f"out_{number}")
    text = source.source + "\n".join(tables)
    text += f"\nint main(void) {{ network_run({', '.join(given)}); return 0; }}\n"
    found, flash, ram = _count(core, text, folder, options, ())
    names = {made.algorithm.name for made in source.steps}
    return {
        "core": core,
        "what": Path(options.network).stem,
        "algorithm": "+".join(sorted(names & {"sets", "dense", "tree", "bytes"})),
        "instructions": found,
        "flash": flash,
        "ram": ram,
    }


if __name__ == "__main__":
    sys.exit(main())
