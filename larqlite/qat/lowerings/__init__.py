"""How wrapped layers compute in inference, so that TFLite's converter follows."""

from larqlite.qat.lowerings._exporting import exporting, is_exporting, stored
from larqlite.qat.lowerings._others import elu
from larqlite.qat.lowerings._table import TABLE, Lowering, outputs_of
from larqlite.qat.lowerings._weight import (
    STORED_BITS,
    Weight,
    has_range,
    is_symmetric,
    range_of,
)
from larqlite.qat.lowerings._wrapped_call import WrappedCall

__all__ = [
    "STORED_BITS",
    "TABLE",
    "Lowering",
    "Weight",
    "WrappedCall",
    "elu",
    "exporting",
    "has_range",
    "is_exporting",
    "is_symmetric",
    "outputs_of",
    "range_of",
    "stored",
]
