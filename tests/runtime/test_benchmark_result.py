"""What `lq benchmark` says of the times that were measured."""

import pytest

from larqlite_runtime.benchmark_result import Benchmark, Timing


def measured(**medians) -> Benchmark:
    timings = tuple(
        Timing(name, "", median, median, median, 5, 0.0)
        for name, median in medians.items()
    )
    return Benchmark("net.onnx", 1, 1, 1, "avx2", timings, profile=None)


@pytest.mark.parametrize(
    ("medians", "said"),
    [
        (
            {"larqlite": 2e-4, "onnxruntime": 9e-4, "tflite": 5e-4},
            "The packed kernels win: 0.200 ms against 0.500 ms of tflite, the fastest "
            "float path: 2.5 times faster.",
        ),
        (
            {"larqlite": 3e-3, "onnxruntime": 1e-3, "tflite": 2e-3},
            "The float path wins: 1.00 ms of onnxruntime against 3.00 ms of the packed "
            "kernels, 3.0 times faster.",
        ),
        (
            {"larqlite": 1.01e-3, "tensorflow": 1e-3},
            "Neither wins: 1.01 ms of the packed kernels, 1.00 ms of tensorflow.",
        ),
        ({"larqlite": 12.34e-3}, "The packed kernels take 12.3 ms."),
    ],
)
def test_the_verdict_says_in_words_who_wins_and_by_how_much(medians, said):
    assert measured(**medians).verdict() == said
