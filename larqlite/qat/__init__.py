"""Quantization-aware training of existing models: annotate, apply, train, convert.

The verbs are those of TensorFlow Model Optimization; every quantizer of larqlite can
stand in a `QuantizeConfig`.
"""

from larqlite._layer_rounding import LayerRounding, RoundingReport
from larqlite.graph import equalize
from larqlite.qat import (
    collab_opts,
    default_8bit,
    experimental,
    quantizers,
)
from larqlite.qat._annotate import quantize_annotate_layer, quantize_annotate_model
from larqlite.qat._apply import quantize_apply, quantize_model
from larqlite.qat._binarize import binarize
from larqlite.qat._calibrate import calibrate
from larqlite.qat._input_range import (
    FixedOutputQuantizeConfig,
    fix_input_output_range,
    remove_input_range,
)
from larqlite.qat._post_training import adaround, correct_biases
from larqlite.qat._report import LayerReport, ModelReport, report
from larqlite.qat._scope import quantize_scope
from larqlite.qat.config import LayerQuantizeConfig, NoOpQuantizeConfig, QuantizeConfig
from larqlite.qat.passes import QuantizeLayoutTransform
from larqlite.qat.schemes import (
    BinaryScheme,
    Default8BitQuantizeScheme,
    DefaultNBitQuantizeScheme,
    DefaultQuantizeRegistry,
    NamedWeightsScheme,
    QuantizeRegistry,
    QuantizeScheme,
    Rule,
    TernaryScheme,
    add_rule,
)
from larqlite.qat.tflite import (
    LayerComparison,
    TFLiteComparison,
    TFLiteModel,
    compare_tflite,
    to_tflite,
)
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapper, QuantizeWrapperV2

__all__ = [
    "BinaryScheme",
    "Default8BitQuantizeScheme",
    "DefaultNBitQuantizeScheme",
    "DefaultQuantizeRegistry",
    "FixedOutputQuantizeConfig",
    "LayerComparison",
    "LayerQuantizeConfig",
    "LayerReport",
    "LayerRounding",
    "ModelReport",
    "NamedWeightsScheme",
    "NoOpQuantizeConfig",
    "QuantizeConfig",
    "QuantizeLayer",
    "QuantizeLayoutTransform",
    "QuantizeRegistry",
    "QuantizeScheme",
    "QuantizeWrapper",
    "QuantizeWrapperV2",
    "RoundingReport",
    "Rule",
    "TFLiteComparison",
    "TFLiteModel",
    "TernaryScheme",
    "adaround",
    "add_rule",
    "binarize",
    "calibrate",
    "collab_opts",
    "compare_tflite",
    "correct_biases",
    "default_8bit",
    "equalize",
    "experimental",
    "fix_input_output_range",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "remove_input_range",
    "to_tflite",
    "report",
    "quantizers",
]
