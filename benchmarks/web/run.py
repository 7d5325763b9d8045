"""WebAssembly against onnxruntime-web in Node, one thread: `python benchmarks/web/run.py`.

npm installs the other side in an environment of its own, `.venv-bench-onnxruntime-web`. Times are
those of the best of many rounds, in which both take turns. `--write` puts the table into the page
"In the browser".
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import onnx
import tf_keras

import larqlite as lq
from larqlite import demo

ROOT = Path(__file__).resolve().parents[2]
PEER, VERSION = "onnxruntime-web", "1.30.0"
ENVIRONMENT = ROOT / ".venv-bench-onnxruntime-web"
PAGE = ROOT / "docs" / "deploy" / "browser.md"
BEGIN, END = "<!-- web figures -->\n", "<!-- end of web figures -->"
SIZE, CHANNELS = 28, 64
LAYERS = (2, 6)  # of the chains: a layer is the difference, by four
PRODUCTS = 9 * CHANNELS**2 * SIZE**2
WHOLE = {"three": "three such layers", "demo": "network of `lq demo`"}
REACH_GMACS, REACH_LAYER, REACH_DEMO = 120, 10, 20


def chain(count: int) -> tf_keras.Model:
    """Binary 3x3 layers, each with its normalization."""
    model = tf_keras.Sequential([tf_keras.Input((SIZE, SIZE, CHANNELS))])
    for _ in range(count):
        model.add(
            lq.layers.QuantConv2D(
                CHANNELS, 3, padding="same", use_bias=False,
                input_quantizer="ste_sign", kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
            )
        )  # fmt: skip
        model.add(tf_keras.layers.BatchNormalization())
    model.add(tf_keras.layers.GlobalAveragePooling2D())
    return model


def float_chain(count: int, path: Path) -> None:
    """The same of float convolutions and a mean, as onnxruntime-web wants them."""
    rng = np.random.default_rng(0)
    nodes, constants, last = [], [], "x"
    for number in range(count):
        weights = rng.normal(0, 0.04, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
        constants.append(onnx.numpy_helper.from_array(weights, f"w{number}"))
        nodes.append(
            onnx.helper.make_node(
                "Conv", [last, f"w{number}"], [f"y{number}"], pads=[1, 1, 1, 1]
            )
        )
        last = f"y{number}"
    nodes.append(onnx.helper.make_node("GlobalAveragePool", [last], ["mean"]))
    value, shape = onnx.helper.make_tensor_value_info, [1, CHANNELS, SIZE, SIZE]
    graph = onnx.helper.make_graph(
        nodes, "chain",
        [value("x", onnx.TensorProto.FLOAT, shape)],
        [value("mean", onnx.TensorProto.FLOAT, [1, CHANNELS, 1, 1])],
        constants,
    )  # fmt: skip
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.save(model, path)


def write_files(folder: Path) -> list[dict]:
    """The networks of both sides, and what runs them."""
    rows = []
    for count in LAYERS:
        flat, float_file = (
            folder / f"chain{count}.lqflat",
            folder / f"float{count}.onnx",
        )
        lq.deploy.export(chain(count), folder / "chain.onnx", verify=False)
        lq.deploy.to_flat(folder / "chain.onnx", flat)
        float_chain(count, float_file)
        rows.append(
            {
                "name": f"chain{count}", "ours": str(flat), "other": str(float_file),
                "shape": [1, SIZE, SIZE, CHANNELS], "otherShape": [1, CHANNELS, SIZE, SIZE],
            }
        )  # fmt: skip
    packed = {"demo": demo.build_network(), "three": chain(3)}
    for name, model in packed.items():
        file, flat = folder / f"{name}.onnx", folder / f"{name}.lqflat"
        lq.deploy.export(model, file, verify=False)
        lq.deploy.to_flat(file, flat)
        shape = [1, *model.input_shape[1:]]
        row = {"name": name, "ours": str(flat), "other": str(file), "shape": shape}
        rows.append(row)
    return rows


def install() -> Path:
    """The environment of the other side."""
    package = ENVIRONMENT / "node_modules" / PEER / "package.json"
    if not package.exists():
        ENVIRONMENT.mkdir(exist_ok=True)
        (ENVIRONMENT / "package.json").write_text('{"private": true}', encoding="utf-8")
        command = ["npm", "install", "--no-audit", "--no-fund", f"{PEER}@{VERSION}"]
        subprocess.run(command, cwd=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return ENVIRONMENT


def measured() -> dict:
    """Milliseconds of each row, ours and the other's; outputs that have to agree do."""
    environment = install()
    with tempfile.TemporaryDirectory() as made:
        rows = Path(made) / "rows.json"
        rows.write_text(json.dumps(write_files(Path(made))), encoding="utf-8")
        script = Path(__file__).with_name("run.mjs")
        command = ["node", str(script), str(rows), str(environment)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = {row["name"]: row for row in json.loads(done.stdout)["results"]}
    for name in ("demo", "three"):
        ours, other = map(np.float32, found[name]["outputs"])
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-3)
    few, many = (found[f"chain{count}"] for count in LAYERS)
    layer = {
        side: (many[side] - few[side]) / (LAYERS[1] - LAYERS[0])
        for side in ("ours", "other")
    }
    return {"layer": layer, "demo": found["demo"], "three": found["three"]}


def kilobytes(path: Path) -> tuple[float, float]:
    """Of a file, and of it as it is sent."""
    data = path.read_bytes()
    return len(data) / 1000, len(gzip.compress(data, 9)) / 1000


def table(found: dict) -> list[str]:
    """The figures as a table of Markdown."""
    layer = found["layer"]
    rates = {side: PRODUCTS / layer[side] * 1e-6 for side in ("ours", "other")}
    ours = kilobytes(ROOT / "web" / "larqlite.wasm")
    dist = ENVIRONMENT / "node_modules" / PEER / "dist"
    other = kilobytes(dist / "ort-wasm-simd-threaded.wasm")
    return [
        f"| | larqlite-runtime-web | {PEER} {VERSION} | ratio |",
        "|---|---|---|---|",
        f"| 3x3, 64 to 64 channels, 28x28: binary here, float there | {layer['ours']:.3f} ms, "
        f"{rates['ours']:.0f} GMAC/s | {layer['other']:.2f} ms, {rates['other']:.1f} GMAC/s | "
        f"{layer['other'] / layer['ours']:.1f} |",
        *(
            f"| {what}, the same packed file | {found[name]['ours']:.3f} ms | "
            f"{found[name]['other']:.2f} ms | {found[name]['other'] / found[name]['ours']:.1f} |"
            for name, what in WHOLE.items()
        ),
        f"| the module, and as it is sent | {ours[0]:.0f} kB, {ours[1]:.0f} kB | "
        f"{other[0]:,.0f} kB, {other[1]:,.0f} kB | {other[0] / ours[0]:.0f}, "
        f"{other[1] / ours[1]:.0f} |",
    ]


def missed(found: dict) -> list[str]:
    """What is not reached."""
    layer, whole = found["layer"], found["demo"]
    figures = {
        f"{REACH_GMACS} GMAC/s": PRODUCTS / layer["ours"] * 1e-6 / REACH_GMACS,
        f"{REACH_LAYER} times the float layer": layer["other"]
        / layer["ours"]
        / REACH_LAYER,
        f"{REACH_DEMO} times the demo": whole["other"] / whole["ours"] / REACH_DEMO,
    }
    return [name for name, share in figures.items() if share < 1]


def main(words: list[str] | None = None) -> int:
    """Prints the table; 1 if a reach is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into the page")
    options = parser.parse_args(words)
    found = measured()
    lines = table(found)
    print("\n".join(lines))
    if options.write:
        text = PAGE.read_text("utf-8")
        new = BEGIN + "\n" + "\n".join(lines) + "\n\n" + END
        pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
        PAGE.write_text(
            re.sub(pattern, lambda _: new, text, flags=re.S), encoding="utf-8"
        )
    for name in missed(found):
        print(f"not reached: {name}", file=sys.stderr)
    return int(bool(missed(found)))


if __name__ == "__main__":
    sys.exit(main())
