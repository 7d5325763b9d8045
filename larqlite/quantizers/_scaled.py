"""Where AdaBin's quantizers were: pickles of earlier versions name this module."""

from larqlite.quantizers._scaled_levels import AdaBinActivations, AdaBinWeights

__all__ = ["AdaBinActivations", "AdaBinWeights"]
