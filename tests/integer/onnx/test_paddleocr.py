"""Networks that people run: PaddleOCR's classifier and detector, in integers, on drawn text."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from larqlite.integer.onnx import quantize_onnx
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

SPEC = importlib.util.find_spec("rapidocr_onnxruntime")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SPEC is None, reason="needs the package rapidocr-onnxruntime, for its two files"
    ),
]
WORDS = (
    *("Invoice", "total", "amount", "date", "street", "open", "closed", "station"),
    *("platform", "exit", "ticket", "price", "menu", "coffee", "water", "garden"),
    *("2026", "42%", "$19.99", "No.7", "A-113", "please", "keep", "left", "warning"),
)


def picture(seed, size, lines, turn=False):
    """Dark text on a light, uneven ground with noise, or the other way; in [-1, 1]."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng(seed)
    height, width = size
    shades = random.integers(130, 256, 2)
    slope = (
        np.linspace(0, 1, width)[None, :, None]
        * np.linspace(0.5, 1, height)[:, None, None]
    )
    ground = shades[0] + (shades[1] - shades[0]) * np.repeat(slope, 3, axis=2)
    image = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    path = font_manager.findfont("DejaVu Sans")
    y = 2
    while y < height - 16:
        points = int(random.integers(18, 34))
        text = " ".join(random.choice(WORDS, random.integers(1, 4)))
        ink = tuple(int(value) for value in random.integers(0, 80, 3))
        at = (int(random.integers(2, 14)), y)
        draw.text(at, text, font=ImageFont.truetype(path, points), fill=ink)
        y += int(points * random.uniform(1.3, 2.2)) if lines > 1 else height
    if turn:
        image = image.rotate(180)
    pixels = np.asarray(image, np.float64)
    if random.random() < 0.3:
        pixels = 255 - pixels
    pixels = np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255)
    return (pixels / 127.5 - 1).transpose(2, 0, 1).astype(np.float32)


def pictures(count, seed, size, lines):
    turns = [lines == 1 and i % 2 == 1 for i in range(count)]
    return np.stack(
        [picture([seed, i], size, lines, turn) for i, turn in enumerate(turns)]
    )


@pytest.mark.parametrize(
    ("file", "size", "lines", "convolutions", "floats"),
    [
        (
            *("ch_ppocr_mobile_v2.0_cls_infer.onnx", (48, 192), 1, 53),
            {"Flatten", "Softmax", "Reshape"},
        ),
        ("ch_PP-OCRv4_det_infer.onnx", (160, 192), 9, 64, set()),
    ],
)
def test_every_convolution_is_integer_and_the_outputs_are_near(
    file, size, lines, convolutions, floats
):
    model = onnx.load(Path(SPEC.origin).parent / "models" / file)
    before = [node.op_type for node in model.graph.node]
    assert before.count("Conv") + before.count("ConvTranspose") == convolutions
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quantized = quantize_onnx(
            model,
            samples=pictures(24, 1, size, lines),
            batch_size=8,
            activation_bits=16,
            weight_bits=16,
            input_weight_bits=16,
        )
    assert len(caught) == bool(floats)
    made = ", ".join(node.doc_string for node in quantized.graph.node).split(", ")
    assert made.count("Conv") + made.count("ConvTranspose") == convolutions
    kinds = {n.op_type for n in quantized.graph.node if n.domain != "ai.larqlite"}
    assert kinds == floats
    test = pictures(16, 2, size, lines)
    wanted, found = run(model, test)[0], run(quantized, test)[0]
    assert np.linalg.norm(found - wanted) <= 0.02 * np.linalg.norm(wanted)
    assert np.mean((found > 0.3) == (wanted > 0.3)) > 0.999
    assert_every_integer_is_exact(quantized, test[:1, :, :, :64])
