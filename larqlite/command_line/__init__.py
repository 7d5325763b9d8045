"""What `lq` and `lqz` share: words become dataclasses, flags of several commands.

Nothing here imports TensorFlow. It is for the packages of this distribution, and may
change without notice.
"""

from larqlite.command_line._choices import followed
from larqlite.command_line._completion import (
    CompletionOptions,
    Place,
    place_of_parser,
    places_of,
    root_of,
)
from larqlite.command_line._flags import (
    AdaRound,
    BatchSize,
    BiasCorrection,
    Equalize,
    Imports,
    Json,
    Model,
    Ranges,
    Unsafe,
    data_flag,
    import_flag,
    output_flag,
    require_at_least,
)
from larqlite.command_line._parse import import_modules, parsed
from larqlite_runtime.command_output import tell

__all__ = [
    "AdaRound",
    "BatchSize",
    "BiasCorrection",
    "CompletionOptions",
    "Equalize",
    "Imports",
    "Json",
    "Model",
    "Place",
    "Ranges",
    "Unsafe",
    "data_flag",
    "followed",
    "import_flag",
    "import_modules",
    "output_flag",
    "parsed",
    "place_of_parser",
    "places_of",
    "require_at_least",
    "root_of",
    "tell",
]
