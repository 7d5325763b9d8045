"""The recipes of the Real-to-Binary paper: four networks, each the teacher of the next.

Figures as in Larq Zoo 2.4.0, https://github.com/larq/zoo; those of the paper are in
section 5 of https://arxiv.org/abs/2003.11535.
"""

from __future__ import annotations

from dataclasses import replace

from larqlite_zoo.training._optimizers import SGD, Adam
from larqlite_zoo.training._recipe import Distillation, MultiStage, Recipe, add_recipe
from larqlite_zoo.training._schedules import Cosine, RealToBinary

_BLOCKS = tuple(f"block_{block}_out" for block in range(2, 10))

_resnet = Recipe(
    name="TrainFPResnet18",
    model="resnet18_fp",
    epochs=100,
    batch_size=512,
    optimizer=SGD(Cosine(0.1, warmup=5)),
)
_fp = Recipe(
    name="TrainR2BBFP",
    model="real_to_bin_net_fp",
    epochs=75,
    batch_size=256,
    optimizer=Adam(RealToBinary(1e-3, 0.3)),
    distillation=Distillation(
        teacher="resnet18_fp",
        teacher_weights="resnet_fp",
        attention_weight=30.0,
        attention_layers=_BLOCKS,
        output_weight=3.0,
    ),
)
_ban = replace(
    _fp,
    name="TrainR2BBAN",
    model="real_to_bin_net_ban",
    distillation=replace(
        _fp.distillation, teacher="real_to_bin_net_fp", teacher_weights="r2b_fp"
    ),
)
_bnn = replace(
    _fp,
    name="TrainR2BBNN",
    model="real_to_bin_net_bnn",
    optimizer=Adam(RealToBinary(2e-4, 0.3)),
    initial_weights="r2b_ban",
    distillation=replace(
        _fp.distillation,
        teacher="real_to_bin_net_ban",
        teacher_weights="r2b_ban",
        attention_weight=0.0,
        output_weight=0.8,
    ),
)
_bnn_alternative = replace(
    _bnn, name="TrainR2BBNNAlternative", optimizer=Adam(Cosine(2e-4, warmup=10))
)
_baseline_ban = Recipe(
    name="TrainR2BStrongBaselineBAN",
    model="strong_baseline_net_ban",
    epochs=75,
    batch_size=8,
    optimizer=Adam(RealToBinary(1e-3, 0.1)),
)
_baseline_bnn = replace(
    _baseline_ban,
    name="TrainR2BStrongBaselineBNN",
    model="strong_baseline_net_bnn",
    optimizer=Adam(RealToBinary(2e-4, 0.1)),
    initial_weights="baseline_ban",
)

_NOTES = (
    "The figures are Larq Zoo's, whose authors say that these steps are an example, and "
    "not exactly those by which their published weights were made."
)

for _recipe in (
    _resnet,
    _fp,
    _ban,
    _bnn,
    _bnn_alternative,
    MultiStage("TrainR2B", (_resnet, _fp, _ban, _bnn_alternative)),
    _baseline_ban,
    _baseline_bnn,
    MultiStage("TrainR2BStrongBaseline", (_baseline_ban, _baseline_bnn)),
):
    add_recipe(_recipe, _NOTES)
