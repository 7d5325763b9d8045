"""The command `lq qat`: from a saved float model to a quantized TFLite or packed file."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite._commands.qat._options import QatOptions
from larqlite.command_line import import_modules

__all__ = ["Qat"]


@dataclass(frozen=True)
class Qat(QatOptions):
    """Quantize a saved float model: calibrate, train on if asked to, write a file."""

    def run(self) -> None:
        """Quantizes the model with these options, and prints what becomes of it."""
        from larqlite._commands.qat import _run

        import_modules("lq", self.imports)
        _run.run(self)
