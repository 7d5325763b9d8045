"""Transforms of float models before they are quantized; each returns an equivalent model."""

from larqlite.graph import equalize
from larqlite.integer.models.transforms._align_rescaling import align_rescaling
from larqlite.integer.models.transforms._drop_reshapes import drop_reshapes
from larqlite.integer.models.transforms._flatten_nested import flatten_nested
from larqlite.integer.models.transforms._fold_batchnorms import fold_batchnorms
from larqlite.integer.models.transforms._fuse_activations import fuse_activations
from larqlite.integer.models.transforms._grouped_to_depthwise import (
    grouped_to_depthwise,
)
from larqlite.integer.models.transforms._insert_layers import (
    insert_layer,
    insert_rescaling,
)
from larqlite.integer.models.transforms._invert_batchnorm_pooling import (
    invert_batchnorm_pooling,
)
from larqlite.integer.models.transforms._invert_relu_maxpool import invert_relu_maxpool
from larqlite.integer.models.transforms._remove_zeropadding2d import (
    remove_zeropadding2d,
)
from larqlite.integer.models.transforms._replace_lambda import replace_lambda
from larqlite.integer.models.transforms._sanitize import sanitize
from larqlite.integer.models.transforms._split_activations import split_activations

__all__ = [
    "align_rescaling",
    "drop_reshapes",
    "equalize",
    "flatten_nested",
    "fold_batchnorms",
    "fuse_activations",
    "grouped_to_depthwise",
    "insert_layer",
    "insert_rescaling",
    "invert_batchnorm_pooling",
    "invert_relu_maxpool",
    "remove_zeropadding2d",
    "replace_lambda",
    "sanitize",
    "split_activations",
]
