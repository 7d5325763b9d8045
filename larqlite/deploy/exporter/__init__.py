"""`export(model, path)`: from a Keras model to a file with packed weights."""

from larqlite.deploy.exporter._downstream_quantizers import (
    DownstreamQuantizer,
    crossings_of,
    downstream_quantizers,
    in_keras,
    rising,
    through_maxima,
)
from larqlite.deploy.exporter._export import export, finished_graph

__all__ = [
    "DownstreamQuantizer",
    "crossings_of",
    "downstream_quantizers",
    "export",
    "finished_graph",
    "in_keras",
    "rising",
    "through_maxima",
]
