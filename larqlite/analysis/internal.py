"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.analysis._measured import sqnr_db
from larqlite.analysis._samples import Samples

__all__ = ["Samples", "sqnr_db"]
