"""`to_qonnx(model, path)`: the same network with QONNX' quantizers, and for compilers of
FPGAs."""

from larqlite.deploy.qonnx._check_finn import check_finn
from larqlite.deploy.qonnx._run_hls4ml import (
    Hls4mlRun,
    hls4ml_python,
    missing_hls4ml,
    run_hls4ml,
)
from larqlite.deploy.qonnx._to_qonnx import FORMS, to_qonnx

__all__ = [
    "FORMS",
    "Hls4mlRun",
    "check_finn",
    "hls4ml_python",
    "missing_hls4ml",
    "run_hls4ml",
    "to_qonnx",
]
