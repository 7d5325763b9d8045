"""Recipes for the networks of the literature; those of real-to-binary have their own file.

Optimizer, schedule, epochs and batch are those of Larq Zoo 2.4.0 where it has the recipe
(`tests/golden/zoo_schedules.json` holds its learning rates); what is ours says so in the
notes of the recipe.
"""

from __future__ import annotations

from larqlite_zoo.training._optimizers import Adam
from larqlite_zoo.training._recipe import Recipe, add_recipe
from larqlite_zoo.training._schedules import Cosine, Exponential, Linear, Steps

add_recipe(
    Recipe(
        name="TrainBinaryAlexNet",
        model="binary_alexnet",
        epochs=150,
        batch_size=512,
        optimizer=Adam(Exponential(1e-2, factor=0.5, every=10)),
    )
)
add_recipe(
    Recipe(
        name="TrainBiRealNet",
        model="birealnet",
        epochs=300,
        batch_size=512,
        # 300 epochs of 1,281,167 images in batches of 512, the last one not full.
        optimizer=Adam(Linear(5e-3, decay_steps=750_684)),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryResNetE18",
        model="binary_resnet_e18",
        epochs=120,
        batch_size=1024,
        optimizer=Adam(Steps(4e-3, (70, 90, 110), (0.3, 0.09, 0.027)), epsilon=1e-8),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryDenseNet28",
        model="binary_densenet28",
        epochs=120,
        batch_size=256,
        optimizer=Adam(Steps(4e-3, (100, 110), (0.1, 0.01)), epsilon=1e-8),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryDenseNet37",
        model="binary_densenet37",
        epochs=120,
        batch_size=192,
        optimizer=Adam(Steps(4e-3, (100, 110), (0.1, 0.01)), epsilon=1e-8),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryDenseNet37Dilated",
        model="binary_densenet37_dilated",
        epochs=80,
        batch_size=256,
        optimizer=Adam(Steps(4e-3, (60, 70), (0.1, 0.01)), epsilon=1e-8),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryDenseNet45",
        model="binary_densenet45",
        epochs=125,
        batch_size=384,
        optimizer=Adam(Steps(8e-3, (80, 100), (0.1, 0.01)), epsilon=1e-8),
    )
)
add_recipe(
    Recipe(
        name="TrainXNORNet",
        model="xnornet",
        epochs=100,
        batch_size=1200,
        optimizer=Adam(
            Steps(
                1e-3,
                (19, 30, 44, 53, 66, 76, 86),
                (0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001),
            )
        ),
    )
)
add_recipe(
    Recipe(
        name="TrainDoReFaNet",
        model="dorefanet",
        epochs=90,
        batch_size=256,
        optimizer=Adam(
            Steps(2e-4, (60, 75, 82, 84, 86, 88), (0.2, 0.04, 4e-3, 4e-4, 4e-5, 4e-6)),
            epsilon=1e-5,
        ),
    )
)
add_recipe(
    Recipe(
        name="TrainMeliusNet22",
        model="meliusnet22",
        epochs=120,
        batch_size=256,
        optimizer=Adam(Cosine(2e-3, warmup=5)),
    ),
    notes="Larq Zoo has weights of this network but no recipe; this one is ours, untried.",
)
