"""A training run to draw, and what tests of pictures look at."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"
RUN = {
    "loss": [2.0, 1.0, 0.5],
    "val_loss": [2.1, 1.2, 0.8],
    "accuracy": [0.2, 0.5, 0.7],
    "flip_ratio/block/conv": [0.1, 0.01, 0.001],
    "flip_ratio/dense": [0.2, 0.02, 0.0],
    "seconds": [10.0, 20.0, 30.0],
}
OTHER = {key: [value / 2 for value in values] for key, values in RUN.items()}


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    found = ("".join(text.itertext()).strip() for text in root.iter(f"{SVG}text"))
    return [text for text in found if text]


def luminance(color) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color
    ]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))
