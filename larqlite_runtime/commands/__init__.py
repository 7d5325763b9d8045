"""The commands that need no TensorFlow, `lq run` and its like, and the way to the others."""

from larqlite_runtime.commands._arguments import PARSERS, parser_of
from larqlite_runtime.commands._around import load, require_file
from larqlite_runtime.commands._benchmark import BenchmarkOptions
from larqlite_runtime.commands._dispatch import COMMANDS, ZOO_COMMANDS, run_lq, run_lqz
from larqlite_runtime.commands._explain import ExplainOptions
from larqlite_runtime.commands._run import HELP, RunOptions

__all__ = [
    "COMMANDS",
    "HELP",
    "PARSERS",
    "ZOO_COMMANDS",
    "BenchmarkOptions",
    "ExplainOptions",
    "RunOptions",
    "load",
    "parser_of",
    "require_file",
    "run_lq",
    "run_lqz",
]
