"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.analysis._measured import sqnr_db
from larqlite.analysis._samples import Samples
from larqlite.analysis._units import units_of

__all__ = ["Samples", "sqnr_db", "units_of"]
