"""Recipes for the most accurate networks: QuickNet, ReActNet, AdaBin.

QuickNet's are Larq Zoo 2.4.0's. The others have what the repositories of their papers
run, with what could not be followed said in the notes of the recipe.
"""

from __future__ import annotations

from dataclasses import replace

from larqlite_zoo.training._optimizers import SGD, Adam, TwoOptimizers
from larqlite_zoo.training._recipe import MultiStage, Recipe, add_recipe
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

_STEPS = (
    "Two stages, as {}: first with binary inputs and float kernels, then, from there, with "
    "binary kernels too, without weight decay. Both times theirs match the outputs of a "
    "ResNet-34, which is not among our models: here the loss is the cross-entropy. Their "
    "decay is added to the gradients of kernels; here it shrinks all weights beside the step."
)


def _two_steps(
    name: str, model: str, rate: float, batch: int, epochs: int, decay: float
) -> MultiStage:
    """Float kernels with a weight decay, then binary ones without."""
    first = Recipe(
        name=f"{name}Step1",
        model=model,
        epochs=epochs,
        batch_size=batch,
        optimizer=Adam(Linear(rate), weight_decay=decay),
        kernel_quantizer="float",
    )
    second = replace(
        first,
        name=f"{name}Step2",
        optimizer=Adam(Linear(rate)),
        kernel_quantizer=None,
        initial_weights=model,
    )
    return MultiStage(name, (first, second))


_REACTNET = _STEPS.format("https://github.com/liuzechun/ReActNet runs it")
_ADAM_BNN = _STEPS.format(
    "https://github.com/liuzechun/AdamBNN (https://arxiv.org/abs/2106.11309) runs it"
)
for _stages, _notes in (
    (_two_steps("TrainReActNet18", "reactnet18", 2.5e-3, 512, 128, 1e-5), _REACTNET),
    (_two_steps("TrainReActNetA", "reactnet_a", 1.25e-3, 256, 128, 1e-5), _REACTNET),
    (_two_steps("TrainAdamBNN", "reactnet_a", 1.25e-3, 256, 256, 5e-6), _ADAM_BNN),
):
    add_recipe(_stages, notes=_notes)

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
