"""What the live part of the page "In the browser" loads, put beside `live.js` by each build.

The network is the distilled binary VGG-Small of `weights/`, as `lq.deploy.to_flat` writes it today;
the pictures are test images of Fashion-MNIST, the first of each class.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from sphinx.application import Sphinx

import larqlite as lq
import larqlite_zoo

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("_static", "browser")
NETWORK = "binary_vgg_small"
WEIGHTS = "fashion_mnist_distilled"
RUNTIME = ("index.js", "larqlite.wasm")


def pictures() -> list[dict]:
    """The first test image of each class."""
    _, (images, labels) = lq.datasets.load_fashion_mnist()
    first = sorted(int(np.argmax(labels == label)) for label in np.unique(labels))
    return [
        {
            "label": int(labels[at]),
            "pixels": base64.b64encode(images[at].tobytes()).decode(),
        }
        for at in first
    ]


def write(folder: Path) -> None:
    """The runtime, the network, and what is said about it, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RUNTIME:
        shutil.copy(ROOT / "web" / name, folder / name)
    model = larqlite_zoo.get(NETWORK, weights=WEIGHTS)
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "clothes.onnx"
        lq.deploy.export(model, file, verify=False)
        lq.deploy.to_flat(file, folder / "clothes.lqflat")
    about = {
        "classes": lq.datasets.FASHION_MNIST_CLASSES,
        "megaproducts": round(lq.models.profile(model).macs / 1e6),
        "pictures": pictures(),
    }
    (folder / "live.json").write_text(json.dumps(about), encoding="utf-8")


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        write(Path(app.outdir) / FOLDER)


def setup(app: Sphinx) -> dict:
    """Writes once all pages are there."""
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
