"""Makes zoo_schedules.json: the learning rates that larq_zoo's training recipes give.

Run in an environment with larq-zoo 2.4.0 and typeguard below 3:

    TF_USE_LEGACY_KERAS=1 python tests/golden/make_zoo_schedules.py
"""

import json
from pathlib import Path
from types import SimpleNamespace

import larq_zoo
import tensorflow as tf
from larq_zoo.training import basic_experiments as basic
from larq_zoo.training.learning_schedules import CosineDecayWithWarmup, R2BStepSchedule

# What the recipes declare beside the function of the epoch.
STEPS = {
    "TrainBinaryResNetE18": (0.004, 0.3, (70, 90, 110), 120),
    "TrainBinaryDenseNet28": (4e-3, 0.1, (100, 110), 120),
    "TrainBinaryDenseNet37": (4e-3, 0.1, (100, 110), 120),
    "TrainBinaryDenseNet37Dilated": (4e-3, 0.1, (60, 70), 80),
    "TrainBinaryDenseNet45": (0.008, 0.1, (80, 100), 125),
}
OTHERS = {
    "TrainBinaryAlexNet": ({}, 150),
    "TrainXNORNet": ({"initial_lr": 0.001}, 100),
    "TrainDoReFaNet": (
        {
            "learning_rate": 2e-4,
            "decay_start": 60,
            "decay_step_2": 75,
            "fast_decay_start": 82,
        },
        90,
    ),
}


def of_epochs() -> dict[str, list[float]]:
    """The learning rate of every epoch, by `learning_rate_schedule` of each recipe."""
    settings = dict(OTHERS)
    for name, (rate, factor, steps, epochs) in STEPS.items():
        values = {
            "learning_rate": rate,
            "learning_factor": factor,
            "learning_steps": steps,
        }
        settings[name] = (values, epochs)
    return {
        name: [
            getattr(basic, name).learning_rate_schedule(
                SimpleNamespace(**values), epoch
            )
            for epoch in range(epochs)
        ]
        for name, (values, epochs) in settings.items()
    }


def of_steps() -> dict:
    """Schedules of single steps: the arguments, and `[step, learning rate]` pairs."""
    linear = tf.keras.optimizers.schedules.PolynomialDecay(
        5e-3, 750684, end_learning_rate=0, power=1.0
    )

    # Larq Zoo names tf.keras.experimental.LinearCosineDecay, which tf_keras lacks by now.
    def linear_cosine(step):
        return tf.compat.v1.train.linear_cosine_decay(5e-3, step, 750684)

    bireal_steps = (0, 1, 2502, 100_000, 375_342, 750_000, 750_684, 800_000)
    r2b_steps = (0, 1, 7, 49, 50, 51, 399, 400, 401, 599, 600, 601, 700, 701, 749)
    cosine_steps = (0, 1, 2, 48, 49, 50, 51, 100, 2500, 5990, 5998, 5999, 6000)
    without_warmup = CosineDecayWithWarmup(0.1, 2, 1000)
    return {
        "linear": _pairs(linear, bireal_steps),
        "linear_cosine": _pairs(linear_cosine, bireal_steps),
        "r2b_1e-3_spe10_0.3": _pairs(R2BStepSchedule(1e-3, 10, 0.3), r2b_steps),
        "r2b_2e-4_spe10_0.1": _pairs(R2BStepSchedule(2e-4, 10, 0.1), r2b_steps),
        "cosine_1e-2_50_6000": _pairs(
            CosineDecayWithWarmup(1e-2, 50, 6000), cosine_steps
        ),
        "cosine_0.1_2_1000": _pairs(without_warmup, (0, 1, 2, 3, 500, 998, 999)),
    }


def _pairs(schedule, steps) -> list[list[float]]:
    pairs = []
    for step in steps:
        rate = schedule(tf.constant(step))
        pairs.append([step, float(rate() if callable(rate) else rate)])
    return pairs


content = {
    "made_by": f"larq_zoo {larq_zoo.__version__}, TensorFlow {tf.__version__}",
    "epochs": of_epochs(),
    "steps": of_steps(),
}
path = Path(__file__).with_name("zoo_schedules.json")
path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
