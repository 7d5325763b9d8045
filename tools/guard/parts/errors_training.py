"""Mistakes at layers, `lq.qat`, `lq.integer`, its ONNX, and the zoo."""

from __future__ import annotations

import numpy as np
import onnx
import tf_keras

import larqlite as lq
import larqlite_zoo

from ..models import L, Q, images, row
from . import integer_models, qat_models
from .errors_deploy import Double
from .onnx import CASES


def qat() -> dict:
    """Calls by what is wrong."""
    model = qat_models.cnn()
    x = images((8, 8, 3), 8) / 64 - 2
    quantized = lq.qat.quantize_model(model, calibrate=x)
    guessing = lq.qat.quantize_model(model)
    kinds = lq.qat.quantizers
    return {
        "none": lambda: lq.qat.quantize_model(None),
        "unbuilt": lambda: lq.qat.quantize_model(tf_keras.Sequential([L.Dense(2)])),
        "twice": lambda: lq.qat.quantize_model(quantized),
        "scheme": lambda: lq.qat.quantize_model(model, scheme="int88"),
        "pattern": lambda: lq.qat.quantize_apply(model, {"conv_9": "int8"}),
        "not annotated": lambda: lq.qat.quantize_apply(model),
        "annotate a model": lambda: lq.qat.quantize_annotate_layer(model),
        "calibration": lambda: lq.qat.quantize_model(
            model, calibrate=x, calibration="median"
        ),
        "samples": lambda: lq.qat.calibrate(quantized, x[:, :4]),
        "nan": lambda: lq.qat.calibrate(quantized, np.full((2, 8, 8, 3), np.nan)),
        "calibrate float": lambda: lq.qat.calibrate(model, x),
        "tflite of guesses": lambda: lq.qat.to_tflite(guessing),
        "tflite of float": lambda: lq.qat.to_tflite(model),
        "tflite inputs": lambda: lq.qat.to_tflite(quantized, inputs="int3"),
        "tflite path": lambda: lq.qat.to_tflite(quantized, "model.txt"),
        "compare": lambda: lq.qat.compare_tflite(quantized, b"nothing", x),
        "bits": lambda: kinds.LastValueQuantizer(num_bits=99),
        "config weight": lambda: lq.qat.quantize_apply(
            lq.qat.quantize_annotate_model(
                tf_keras.Sequential(
                    [
                        tf_keras.Input((4,)),
                        lq.qat.quantize_annotate_layer(
                            L.Dense(2, name="fc"),
                            lq.qat.LayerQuantizeConfig({"kernle": "ste_sign"}),
                        ),
                    ]
                )
            )
        ),
        "unknown layer": lambda: lq.qat.quantize_model(
            row((4,), Double(name="double")), calibrate=x
        ),
        "report of float": lambda: lq.qat.report("model"),
        "binarize nothing": lambda: lq.qat.binarize(row((4,), L.ReLU())),
        "input range": lambda: lq.qat.fix_input_output_range(
            quantized, input_min=1.0, input_max=0.0
        ),
    }


def integer() -> dict:
    """Calls by what is wrong."""
    of = lq.integer.models
    model = integer_models.cnn()
    x = images((8, 8, 3))
    made = of.quantize(model, samples=x)
    export = lq.integer.export
    fixed = lq.integer.tensors.FixedPoint.quantize
    left, right = fixed(np.ones(3), 8, frac_bits=2), fixed(np.ones(3), 8, frac_bits=4)
    return {
        "no model": lambda: of.quantize("model"),
        "bits": lambda: of.QuantizationParams(weight_bits=99),
        "bits as text": lambda: of.QuantizationParams(weight_bits="8"),
        "config": lambda: of.quantize(model, {"conv_9": {}}, samples=x),
        "config key": lambda: of.quantize(
            model, {"conv_2": {"weight_quantiser": {"bitwidth": 4}}}, samples=x
        ),
        "samples": lambda: of.quantize(model, samples=x[:, :4]),
        "nan": lambda: of.quantize(model, samples=np.full((2, 8, 8, 3), np.nan)),
        "unsupported": lambda: of.quantize(
            row((4, 3), L.LSTM(2, name="lstm")), on_unsupported="raise"
        ),
        "on unsupported": lambda: of.quantize(model, on_unsupported="ignore"),
        "params": lambda: of.quantize(model, qparams=8),
        "again without config": lambda: of.quantize(made, samples=x),
        "onnx of float": lambda: export.to_onnx(model),
        "qdq of float": lambda: export.to_qdq(model),
        "tflite of float": lambda: export.to_tflite(model),
        "tflite without samples": lambda: export.to_tflite(
            of.quantize(model, qparams=_per_tensor(), samples=x)
        ),
        "tflite of axes": lambda: export.to_tflite(made, samples=x),
        "suffix": lambda: export.to_onnx(made, "model.txt"),
        "input dtype": lambda: export.to_onnx(made, input_dtype="int3"),
        "compare": lambda: export.compare(made, "nothing.onnx", x),
        "load": lambda: of.load_model("nothing.keras"),
        "check float": lambda: of.check_quantization(model),
        "report float": lambda: of.data_report(model, x),
        "config of float": lambda: of.dump_config(model),
        "add": lambda: left + right,
        "fractional bits": lambda: fixed(np.ones(3), 8, frac_bits=1.5),
        "value bits": lambda: fixed(np.ones(3), 0),
        "softmax": lambda: lq.integer.layers.string_to_softmax("shiftmx"),
        "quantizer bits": lambda: lq.integer.layers.WeightQuantizer(bitwidth=99),
        "transform": lambda: of.transforms.sanitize("model"),
    }


def _per_tensor():
    return lq.integer.models.QuantizationParams(per_tensor_activations=True)


def onnx_files() -> dict:
    """Calls by what is wrong."""
    quantize = lq.integer.onnx.quantize_onnx
    body, x, y = CASES["dense"]
    text = f'<ir_version: 9, opset_import: ["": 18]> net ({x}) => ({y}) {{ {body} }}'
    float_only = text.replace(body, "y = Softmax (x)")
    scope = lq.integer.onnx.quantization.custom_pattern_scope
    samples = np.zeros((2, 24), "float32")

    def patterns(found):
        with scope(found):
            pass

    return {
        "no model": lambda: quantize("model"),
        "invalid": lambda: quantize(onnx.parser.parse_model(text), samples=samples),
        "nothing to quantize": lambda: quantize(
            onnx.parser.parse_model(float_only), samples=samples
        ),
        "pattern": lambda: patterns({"Sigmoid": None}),
        "empty pattern": lambda: patterns({(): lambda nodes, graph: None}),
        "no patterns": lambda: patterns(3),
    }


def zoo() -> dict:
    """Calls by what is wrong."""
    get = larqlite_zoo.get
    return {
        "name": lambda: get("quicknt"),
        "no name": lambda: get(3),
        "card": lambda: larqlite_zoo.card("birealnt"),
        "argument": lambda: get("birealnet", weight=None),
        "weights": lambda: get("binary_vgg_small", weights="imagnet"),
        "shape": lambda: get("birealnet", weights=None, input_shape=(8, 8)),
        "small": lambda: get("binary_alexnet", weights=None, input_shape=(16, 16, 3)),
        "classes": lambda: get("birealnet", weights=None, num_classes=0),
        "register": lambda: larqlite_zoo.register_model("birealnet", summary="x")(get),
        "preprocess": lambda: larqlite_zoo.preprocess_input("image"),
        "decode": lambda: larqlite_zoo.decode_predictions(np.zeros((2, 3))),
    }


def layers() -> dict:
    """Calls by what is wrong."""
    return {
        "quantizer": lambda: Q.QuantConv2D(4, 3, kernel_quantizer="ste_sing"),
        "misspelt": lambda: Q.QuantConv2D(4, 3, kernel_quantiser="ste_sign"),
        "pad values": lambda: Q.QuantConv2D(4, 3, padding="same", pad_values="one"),
        "get": lambda: lq.quantizers.get(3.5),
        "k bit": lambda: lq.quantizers.DoReFa(0),
        "mode": lambda: lq.quantizers.DoReFa(2, mode="kernels"),
        "precision": lambda: lq.quantizers.NoOp(precision=0),
        "bop": lambda: lq.optimizers.Bop(threshold=-1),
        "metric": lambda: lq.metrics.FlipRatio(values_dtype="bits"),
        "clip": lambda: lq.constraints.WeightClip(clip_value=-1),
        "plot": lambda: lq.plot.quantizer("nothing"),
        "save for larq": lambda: lq.models.save_for_larq("model", "model.h5"),
        "freeze": lambda: lq.models.freeze("model"),
        "attribute": lambda: lq.nothing,
        "no larqlite": lambda: lq.quantizers.Nothing,
    }
