"""What `lq` and `lqz` share: words become dataclasses, flags of several commands.

Nothing here imports TensorFlow. It is for the packages of this distribution, and may
change without notice.
"""

from larqlite.command_line._choices import followed
from larqlite.command_line._flags import (
    BatchSize,
    Imports,
    Json,
    Model,
    Unsafe,
    data_flag,
    import_flag,
    output_flag,
    require_at_least,
)
from larqlite.command_line._parse import import_modules, parsed, tell

__all__ = [
    "BatchSize",
    "Imports",
    "Json",
    "Model",
    "Unsafe",
    "data_flag",
    "followed",
    "import_flag",
    "import_modules",
    "output_flag",
    "parsed",
    "require_at_least",
    "tell",
]
