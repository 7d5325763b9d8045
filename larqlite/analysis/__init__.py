"""What hurts a low-bit network: the cost of each width of each layer, and what is ill in it."""

from larqlite.analysis._diagnose import diagnose
from larqlite.analysis._diagnosis import Diagnosis, Histogram, Illness, Judged
from larqlite.analysis._sensitivity import CALIBRATED as CALIBRATED, sensitivity
from larqlite.analysis._sensitivity_report import LayerSensitivity, Sensitivity

__all__ = [
    "Diagnosis",
    "Histogram",
    "Illness",
    "Judged",
    "LayerSensitivity",
    "Sensitivity",
    "diagnose",
    "sensitivity",
]
