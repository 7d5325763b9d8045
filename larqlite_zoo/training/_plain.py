"""A recipe or options as plain data, for JSON files and comparisons."""

from __future__ import annotations

import dataclasses


def as_dict(recipe) -> dict:
    """A recipe as plain data, with the classes of its parts."""

    def convert(value):
        if dataclasses.is_dataclass(value):
            fields = {
                field.name: convert(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
            return {"class": type(value).__name__, **fields}
        return [convert(item) for item in value] if isinstance(value, tuple) else value

    return convert(recipe)
