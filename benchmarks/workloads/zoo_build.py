"""Building a model of the zoo and its summary: what a user waits for before training."""

import importlib

import tf_keras

from workloads._base import Workload

# The functions' names are the same in both zoos.
MODULES = {"QuickNet": "sota", "QuickNetSmall": "sota", "QuickNetLarge": "sota"}


def prepare(library: str, model: str) -> Workload:
    """Builds the model at 224x224 with random weights and prints its summary to nobody.

    Args:
        library: "larqlite", or "larq" with larq_zoo beside it.
        model: the name of the function.
    """
    zoo = {"larqlite": "larqlite_zoo", "larq": "larq_zoo"}[library]
    module = importlib.import_module(f"{zoo}.{MODULES.get(model, 'literature')}")
    summary = importlib.import_module(f"{library}.models").summary
    build = getattr(module, model)
    built = []

    def step() -> None:
        tf_keras.backend.clear_session()
        built[:] = [build(weights=None)]
        summary(built[0], print_fn=lambda line: None)

    return Workload(step, lambda: [float(built[0].count_params())])
