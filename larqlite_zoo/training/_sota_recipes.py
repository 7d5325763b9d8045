"""Recipes for the most accurate networks: QuickNet, ReActNet, AdaBin.

QuickNet's are Larq Zoo 2.4.0's. The others have what the repositories of their papers
run, with what could not be followed said in the notes of the recipe.
"""

from __future__ import annotations

from larqlite_zoo.training._optimizers import SGD, Adam, TwoOptimizers
from larqlite_zoo.training._recipe import Recipe, add_recipe
from larqlite_zoo.training._schedules import Cosine, Linear

for _name, _model in (
    ("TrainQuickNetSmall", "quicknet_small"),
    ("TrainQuickNet", "quicknet"),
    ("TrainQuickNetLarge", "quicknet_large"),
):
    add_recipe(
        Recipe(
            name=_name,
            model=_model,
            epochs=600,
            batch_size=2048,
            optimizer=TwoOptimizers(
                binary=Adam(Cosine(1e-2, warmup=5)),
                other=SGD(Cosine(0.1, warmup=5), momentum=0.9),
            ),
        )
    )

_REACTNET = (
    "Learning rate, batch and epochs of https://github.com/liuzechun/ReActNet. That one "
    "trains twice: first with float weights, then, from there, with binary ones, and "
    "both times to match the outputs of a ResNet-34, which is not among our models. "
)
_ONE_STAGE = "Here it is its second stage alone, and the loss is the cross-entropy."
for _name, _model, _rate, _batch in (
    ("TrainReActNet18", "reactnet18", 2.5e-3, 512),
    ("TrainReActNetA", "reactnet_a", 1.25e-3, 256),
):
    add_recipe(
        Recipe(
            name=_name,
            model=_model,
            epochs=128,
            batch_size=_batch,
            optimizer=Adam(Linear(_rate)),
        ),
        notes=_REACTNET + _ONE_STAGE,
    )

add_recipe(
    Recipe(
        name="TrainAdaBinResNet18",
        model="adabin_resnet18",
        epochs=120,
        batch_size=256,
        optimizer=SGD(Cosine(0.1), momentum=0.9, weight_decay=1e-5),
    ),
    notes="The settings of https://github.com/huawei-noah/Efficient-Computing, one stage; "
    "its backward pass sharpens from epoch to epoch, which ours does not.",
)
