"""The version of this runtime and of larqlite, which are installed together."""

__version__ = "0.1.0"
