"""Callbacks for `fit`: schedules of hyperparameters, and logs of low-bit training."""

from larqlite.callbacks._hyperparameter_scheduler import HyperparameterScheduler
from larqlite.callbacks._low_bit_log import LowBitLog
from larqlite.callbacks._mlflow_log import MLflowLog
from larqlite.callbacks._quantizer_schedule import QuantizerSchedule

__all__ = ["HyperparameterScheduler", "LowBitLog", "MLflowLog", "QuantizerSchedule"]
