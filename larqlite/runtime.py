"""`larqlite_runtime` under the name of this package: runs exported models."""

from larqlite_runtime import *  # noqa: F403
from larqlite_runtime import __all__  # noqa: F401
