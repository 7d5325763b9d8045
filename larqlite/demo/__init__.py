"""The demo: a small binary network, trained on real images in under three minutes."""

from larqlite.demo._network import build_network
from larqlite.demo._options import Options
from larqlite.demo._run import Result, float_twin, run

__all__ = ["Options", "Result", "build_network", "float_twin", "run"]
