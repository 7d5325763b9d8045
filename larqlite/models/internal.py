"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.models._bits import declared_precision, weight_bits
from larqlite.models._call import Call
from larqlite.models._kinds import KINDS, Kind, formula_for, kind_of, mac_formula
from larqlite.models._labels import label_axes
from larqlite.models._macs import Formula, Product, dot_product_attention, no_macs
from larqlite.models._walk import leaves

__all__ = [
    "Call",
    "Formula",
    "KINDS",
    "Kind",
    "Product",
    "declared_precision",
    "dot_product_attention",
    "formula_for",
    "kind_of",
    "label_axes",
    "leaves",
    "mac_formula",
    "no_macs",
    "weight_bits",
]
