"""What other targets than this machine need to be compared with Keras as well: they load ONNX."""

from larqlite.deploy.verifier._deployed_file import DeployedFile
from larqlite.deploy.verifier._engine import (
    Arrays,
    FileEngine,
    Run,
    RuntimeEngine,
    StockEngine,
)
from larqlite.deploy.verifier._engine_report import EngineReport, WholeReport
from larqlite.deploy.verifier._expected import Expected
from larqlite.deploy.verifier._random_inputs import random_pixels
from larqlite.deploy.verifier._run import run_reports

__all__ = [
    "Arrays",
    "DeployedFile",
    "EngineReport",
    "Expected",
    "FileEngine",
    "Run",
    "RuntimeEngine",
    "StockEngine",
    "WholeReport",
    "random_pixels",
    "run_reports",
]
