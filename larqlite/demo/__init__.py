"""The demo: a small binary network, trained on real images and deployed in three minutes."""

from larqlite.demo._deploy import Deployed
from larqlite.demo._network import build_network
from larqlite.demo._run import Options, Result, float_twin, run

__all__ = ["Deployed", "Options", "Result", "build_network", "float_twin", "run"]
