"""What a batch normalization computes in inference, as two numbers for each channel."""

from __future__ import annotations

import numpy as np


def normalization_factors(layer) -> tuple[np.ndarray, np.ndarray]:
    """What a batch normalization multiplies by and adds, in float64.

    `scale = gamma / sqrt(variance + epsilon)` and `offset = beta - mean * scale`, each
    of the shape of the moving variance.
    """
    mean, variance = (
        np.asarray(moving, np.float64)
        for moving in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        scale = scale * np.asarray(layer.gamma, np.float64)
    offset = -mean * scale
    if layer.beta is not None:
        offset = offset + np.asarray(layer.beta, np.float64)
    return scale, offset
