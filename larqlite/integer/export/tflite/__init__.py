"""An integer model as an int8 TFLite file."""

from larqlite.integer.export.tflite._to_tflite import write_tflite

__all__ = ["write_tflite"]
