"""Recipes for the small networks on small images."""

from __future__ import annotations

from larqlite_zoo.training._optimizers import Adam
from larqlite_zoo.training._recipe import Recipe, add_recipe
from larqlite_zoo.training._schedules import Cosine

add_recipe(
    Recipe(
        name="TrainBinaryVGGSmall",
        model="binary_vgg_small",
        dataset="fashion_mnist",
        epochs=15,
        batch_size=128,
        optimizer=Adam(Cosine(5e-3)),
    )
)
add_recipe(
    Recipe(
        name="TrainVGGSmallFP",
        model="vgg_small_fp",
        dataset="fashion_mnist",
        epochs=15,
        batch_size=128,
        optimizer=Adam(Cosine(2e-3)),
    )
)
add_recipe(
    Recipe(
        name="TrainBinaryResNet20",
        model="binary_resnet20",
        dataset="fashion_mnist",
        epochs=40,
        batch_size=128,
        optimizer=Adam(Cosine(5e-3, warmup=1)),
    ),
    notes="Ours, for Fashion-MNIST; for CIFAR-10 add --dataset cifar10 --epochs 200.",
)
