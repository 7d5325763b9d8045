"""Recipes for the small networks on small images."""

from __future__ import annotations

from larqlite_zoo.training._optimizers import Adam
from larqlite_zoo.training._recipe import (
    Distillation,
    MultiStage,
    Recipe,
    add_recipe,
)
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
        name="TrainBinaryVGGSmallDistilled",
        model="binary_vgg_small",
        dataset="fashion_mnist",
        epochs=10,
        batch_size=128,
        optimizer=Adam(Cosine(2e-3)),
        initial_weights="runs/TrainBinaryVGGSmall/binary_vgg_small_weights.h5",
        distillation=Distillation(
            teacher="vgg_small_fp",
            teacher_weights="runs/TrainVGGSmallFP/vgg_small_fp_weights.h5",
            classification_weight=0.5,
            output_weight=0.5,
            temperature=4.0,
        ),
    ),
    notes="Goes on from TrainBinaryVGGSmall, with the twin that TrainVGGSmallFP trained "
    "as teacher; run these two first, in the same folder.",
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
add_recipe(
    Recipe(
        name="TrainResNet8",
        model="resnet8",
        dataset="cifar10",
        preprocessing="cifar",
        epochs=40,
        batch_size=128,
        optimizer=Adam(Cosine(3e-3, warmup=1)),
    ),
    notes="Ours; for other widths --kernel-quantizer and --input-quantizer.",
)
add_recipe(
    Recipe(
        name="TrainCNV",
        model="cnv",
        dataset="cifar10",
        preprocessing="cifar",
        epochs=40,
        batch_size=128,
        optimizer=Adam(Cosine(3e-3, warmup=1)),
    ),
    notes="Ours; for other widths --kernel-quantizer and --input-quantizer.",
)
add_recipe(
    MultiStage(
        name="TrainBinaryVGGSmallTaught",
        stages=(
            Recipe(
                name="TrainBinaryVGGSmallTaughtTwin",
                model="vgg_small_fp",
                dataset="cifar10",
                preprocessing="cifar",
                epochs=30,
                batch_size=128,
                optimizer=Adam(Cosine(2e-3, warmup=1)),
            ),
            Recipe(
                name="TrainBinaryVGGSmallTaughtStudent",
                model="binary_vgg_small",
                dataset="cifar10",
                preprocessing="cifar",
                epochs=30,
                batch_size=128,
                optimizer=Adam(Cosine(5e-3, warmup=1)),
                distillation=Distillation(
                    teacher="vgg_small_fp",
                    teacher_weights="vgg_small_fp",
                    classification_weight=0.5,
                    output_weight=0.5,
                    temperature=4.0,
                ),
            ),
        ),
    ),
    notes="Ours, for CIFAR-10: the float twin first, which then teaches the binary network.",
)
