"""What hurts a low-bit network: the cost of each width of each layer."""

from larqlite.analysis._sensitivity import sensitivity
from larqlite.analysis._sensitivity_report import LayerSensitivity, Sensitivity

__all__ = ["LayerSensitivity", "Sensitivity", "sensitivity"]
