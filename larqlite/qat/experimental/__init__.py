"""Names that TFMOT keeps under `experimental`."""

from larqlite.qat.experimental import default_n_bit

__all__ = ["default_n_bit"]
