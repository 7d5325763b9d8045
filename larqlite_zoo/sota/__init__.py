"""Networks at the state of the art of their time: QuickNet and its sizes."""

from larqlite_zoo.sota.quicknet import QuickNet, QuickNetLarge, QuickNetSmall

__all__ = ["QuickNet", "QuickNetLarge", "QuickNetSmall"]
