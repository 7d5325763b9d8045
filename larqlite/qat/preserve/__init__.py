"""Schemes that keep what pruning and clustering made of a model's weights.

Their quantizers have up to four members that others lack; a quantizer of your own may
have them too:

- `for_weight(value, where)`: the quantizer for a weight with these values, asked before
  the variables are made;
- `capture(weight, variables)`: called once the values of a weight are there;
- `preserved(inputs, variables)`: the float values that are rounded, instead of the
  weight's own;
- `replaces_weight`: True if the weight is not read, so that it is not to be trained.
"""

from larqlite.qat.preserve._cluster import ClusterPreserveQuantizer
from larqlite.qat.preserve._latent import update_latent_weights
from larqlite.qat.preserve._preserve_schemes import (
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitPrunePreserveQuantizeScheme,
)
from larqlite.qat.preserve._prune import PrunePreserveQuantizer

__all__ = [
    "ClusterPreserveQuantizer",
    "Default8BitClusterPreserveQuantizeScheme",
    "Default8BitPrunePreserveQuantizeScheme",
    "PrunePreserveQuantizer",
    "update_latent_weights",
]
