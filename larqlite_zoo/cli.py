"""The command `lqz`: list models and recipes, show cards, train, evaluate."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from larqlite.errors import LarqliteError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lqz`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _train(arguments[1], arguments[2:], "lqz " + shlex.join(arguments))
    except (LarqliteError, OSError) as error:
        print(f"lqz: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as interruption:
        print("lqz: stopped", file=sys.stderr)
        raise SystemExit(130) from interruption


def _train(name: str, arguments: Sequence[str], command: str) -> None:
    import tensorflow as tf

    from larqlite_zoo import training

    @dataclass(frozen=True)
    class Train:
        recipe: training.Recipe
        options: training.Options = field(default_factory=training.Options)

    chosen = tyro.cli(
        Train,
        prog=f"lqz train {name}",
        args=arguments,
        default=Train(training.recipe(name)),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )
    if chosen.options.deterministic:
        tf.config.experimental.enable_op_determinism()
    training.train(chosen.recipe, chosen.options, command=command)
