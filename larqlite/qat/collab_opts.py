"""Quantization-aware training of models that were pruned or clustered before."""

from larqlite.qat.preserve import (
    ClusterPreserveQuantizer,
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme,
    PrunePreserveQuantizer,
    update_latent_weights,
)

__all__ = [
    "ClusterPreserveQuantizer",
    "Default8BitClusterPreserveQuantizeScheme",
    "Default8BitPrunePreserveQuantizeScheme",
    "PrunePreserveQuantizer",
    "update_latent_weights",
]
