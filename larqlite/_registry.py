"""Tables that users add to. Importing this loads nothing else."""

from __future__ import annotations

from typing import ClassVar


class Registry(dict):
    """A table that users add to, by a key; `Registry.all` lists such tables.

    So tests take back what they register, in tables of other packages too.
    """

    all: ClassVar[list[Registry]] = []

    def __init__(self, *content):
        super().__init__(*content)
        Registry.all.append(self)
