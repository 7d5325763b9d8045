"""What `lq` and `lqz` share: words become dataclasses, flags of several commands.

Nothing here imports TensorFlow. It is for the packages of this distribution, and may
change without notice.
"""

from larqlite.command_line._choices import followed
from larqlite.command_line._flags import (
    Imports,
    Json,
    Model,
    Unsafe,
    import_flag,
    require_at_least,
)
from larqlite.command_line._parse import import_modules, parsed, tell

__all__ = [
    "Imports",
    "Json",
    "Model",
    "Unsafe",
    "followed",
    "import_flag",
    "import_modules",
    "parsed",
    "require_at_least",
    "tell",
]
