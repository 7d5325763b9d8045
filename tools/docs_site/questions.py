"""What people type into the search of the documentation, and the pages that answer it."""

from __future__ import annotations

# The page is to be among the first results, of which so many are looked at.
FIRST = 3

QUESTIONS: dict[str, tuple[str, ...]] = {
    "raspberry pi": ("deploy/raspberry_pi", "zoo/device", "faq"),
    "android": ("zoo/device", "faq"),
    "microcontroller": ("deploy/microcontroller", "faq"),
    "jetson": ("zoo/device",),
    "javascript": ("deploy/browser",),
    "webassembly": ("deploy/browser",),
    "where are my binary weights": ("faq", "start", "concepts/weights"),
    "qkeras": ("faq",),
    "larq": ("larq",),
    "brevitas": ("other_libraries",),
    "alternatives": ("other_libraries",),
    "tensorflow model optimization": ("qat/tfmot",),
    "quantizeml": ("integer/quantizeml",),
    "pytorch": ("faq",),
    "too slow": ("faq",),
    "benchmark": ("benchmarks",),
    "keras 3": ("from_keras3", "faq"),
    "loss does not go down": ("troubleshooting",),
    "accuracy is low": ("troubleshooting",),
    "out of memory": ("troubleshooting",),
    "install": ("start", "deploy/runtime"),
    "gpu": ("faq",),
    "colab": ("faq",),
    "windows": ("faq",),
    "int8 tflite": ("qat", "qat/deploy"),
    "4 bit": ("qat", "integer/quantize", "integer", "deploy/operations"),
    "custom quantizer": ("own_quantizer",),
    "notebook": ("notebooks",),
    "licence": ("faq",),
    "cite": ("faq",),
    "flip ratio": ("training", "api/metrics"),
}
