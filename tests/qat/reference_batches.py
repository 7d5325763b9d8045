"""The batches with which the golden file of the reference was made."""

import numpy as np

TRAINING = (True, True, True, False)


def batches(index: int, case: dict) -> tuple[np.ndarray, np.ndarray]:
    """Four batches and the gradients that come in."""
    rng = np.random.default_rng(index)
    shape = (len(TRAINING), *case["shape"])
    x = rng.normal(0, case["spread"], shape) + case["shift"]
    x, dy = x.astype("float32"), rng.normal(0, 1, shape).astype("float32")
    if case["special"]:
        x[..., 0] = 0
        x[..., 1] = 0.75
        x[..., 2] = -0.75
        x[:, 1, 3] = np.inf
        x[:, 0, 4] = np.nan
        x[:, 2, 5] = -np.inf
        x[..., 6] = np.abs(x[..., 6])
    return x, dy
