"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.models._bits import declared_precision, weight_bits
from larqlite.models._kinds import KINDS, formula_for
from larqlite.models._labels import label_axes
from larqlite.models._macs import Product, no_macs
from larqlite.models._walk import leaves

__all__ = [
    "KINDS",
    "Product",
    "declared_precision",
    "formula_for",
    "label_axes",
    "leaves",
    "no_macs",
    "weight_bits",
]
