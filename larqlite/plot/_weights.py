"""`weights`: how the latent weights of every quantized kernel are spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.plot._drawing import drawing
from larqlite.plot._quantizer import display_name
from larqlite_runtime.pictures import COLORS, GUIDE, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


def weights(
    model,
    bins: int = 60,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws a histogram of the latent weights of every quantized kernel.

    A healthy binary layer has its latent weights spread over the clipping range; a
    heap at zero keeps flipping sign, a heap at the edges no longer learns.

    Args:
        model: a built tf_keras model or a single Quant layer.
        bins: how many bars in each histogram.
        axes: matplotlib axes, one for each quantized kernel; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure, one histogram for each quantized kernel, in the model's order.

    Raises:
        KerasVersionError: a Keras 3 model.
        UnbuiltModelError: a layer without weights yet.
        ArgumentError: the model has no quantized kernel, the wrong number of axes, a
            look that cannot be, or a file suffix that matplotlib cannot write.

    Example:
        >>> layer = lq.layers.QuantDense(8, kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip", name="dense")
        >>> model = tf_keras.Sequential([tf_keras.Input((16,)), layer])
        >>> lq.plot.weights(model).axes[0].get_title()
        'dense/kernel: ste_sign, 128 weights'
    """
    from larqlite import models

    drawn = drawing("lq.plot.weights", path, look)
    kernels = models.quantized_weights(model)
    if not kernels:
        raise ArgumentError(
            f'lq.plot.weights: model "{model.name}" has no quantized kernel to show.\n'
            "  Fix: give its Quant layers a kernel_quantizer."
        )
    figure, panels = drawn.axes(len(kernels), axes)
    for panel, (name, kernel) in zip(panels, kernels.items(), strict=True):
        latent = kernel.latent.ravel()
        panel.hist(latent.astype(np.float64), bins=bins, color=COLORS[0])
        panel.axvline(0, color=GUIDE, linewidth=1)
        quantizer = display_name(kernel.quantizer)
        title = f"{name}: {quantizer}, {latent.size:,} weights"
        panel.set_title(title, fontsize=9)
        panel.set(xlabel="latent weight", ylabel="count")
    return drawn.done(figure)
