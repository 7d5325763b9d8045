"""The commands `lq run` and `lq benchmark`, which need no TensorFlow, and the way to the others."""

from larqlite_runtime.commands._arguments import PARSERS
from larqlite_runtime.commands._benchmark import BenchmarkOptions
from larqlite_runtime.commands._data import read
from larqlite_runtime.commands._dispatch import COMMANDS, ZOO_COMMANDS, run_lq, run_lqz
from larqlite_runtime.commands._run import HELP, RunOptions

__all__ = [
    "COMMANDS",
    "HELP",
    "PARSERS",
    "ZOO_COMMANDS",
    "BenchmarkOptions",
    "RunOptions",
    "run_lq",
    "run_lqz",
    "read",
]
