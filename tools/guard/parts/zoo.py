"""Every family of the zoo at a small size: costs, packed file, outputs."""

from __future__ import annotations

import functools

import onnx

import larqlite as lq
import larqlite_zoo

from .. import models, onnx_text, texts
from .deploy import run

# One of each family, and of each way in which a family differs within.
EXPORTED = {
    "adabin_resnet18": 32,
    "binary_alexnet": 64,
    "binary_densenet37_dilated": 32,
    "binary_resnet20": 32,
    "binary_resnet_e18": 32,
    "binary_vgg_small": 32,
    "birealnet": 32,
    "cnv": 32,
    "dorefanet": 64,
    "meliusnet22": 32,
    "quicknet_small": 32,
    "reactnet18": 32,
    "reactnet_a": 32,
    "real_to_binary_net": 32,
    "resnet18_fp": 32,
    "resnet8": 32,
    "strong_baseline_net_bnn": 32,
    "vgg_small_fp": 32,
    "xnornet": 217,
}


def entries() -> dict:
    """An entry for each model above, and the cards of all."""
    found = {
        name: functools.partial(_frozen, name, EXPORTED[name]) for name in EXPORTED
    }
    return found | {"cards": _cards}


def _frozen(name: str, side: int):
    model = models.settled(
        larqlite_zoo.get(
            name, weights=None, num_classes=10, input_shape=(side, side, 3)
        )
    )
    yield "summary", texts.printed(lq.models.summary, model)
    report = lq.deploy.export(model, "zoo.onnx", verify=False)
    yield "report", str(report)
    yield from onnx_text.fields(onnx.load("zoo.onnx"))
    arrays = models.inputs_of(model, batch=1)
    yield from run("zoo.onnx", arrays, kernels=(None,))


def _cards():
    for name in larqlite_zoo.list_models():
        yield name, str(larqlite_zoo.card(name)).split(", ")
