"""Models of integer layers: quantization, calibration, checks and transforms."""

from larqlite.integer._quantization_params import (
    QuantizationParams,
    get_quantization_params,
    quantization,
)
from larqlite.integer.models import transforms
from larqlite.integer.models._calibrate import calibrate, calibration_required
from larqlite.integer.models._check import check_quantization
from larqlite.integer.models._freeze import freeze
from larqlite.integer.models._load import (
    dump_config,
    load_model,
    record_quantization_variables,
)
from larqlite.integer.models._post_training import adaround, correct_biases
from larqlite.integer.models._quantize import quantize
from larqlite.integer.models._report import (
    DataReport,
    IntegerLayerReport,
    LayerReport,
    data_report,
)
from larqlite.integer.models._weights import apply_weights_to_model

__all__ = [
    "DataReport",
    "IntegerLayerReport",
    "LayerReport",
    "QuantizationParams",
    "adaround",
    "apply_weights_to_model",
    "calibrate",
    "calibration_required",
    "check_quantization",
    "correct_biases",
    "data_report",
    "dump_config",
    "freeze",
    "get_quantization_params",
    "load_model",
    "quantization",
    "quantize",
    "record_quantization_variables",
    "transforms",
]
