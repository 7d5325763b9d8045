"""A packed file as C99, for microcontrollers and everything else that has a C compiler."""

from larqlite.deploy.targets.c._arduino import to_arduino
from larqlite.deploy.targets.c._report import CLayer, CReport
from larqlite.deploy.targets.c._source import source_of
from larqlite.deploy.targets.c._text import identifier
from larqlite.deploy.targets.c._to_c import to_c

__all__ = ["CLayer", "CReport", "identifier", "source_of", "to_arduino", "to_c"]
