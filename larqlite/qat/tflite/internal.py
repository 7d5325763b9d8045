"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.qat.tflite._compare import positions_of, step_of_output
from larqlite.qat.tflite._file_graph import read_file
from larqlite.qat.tflite._interpreter import TFLiteInterpreter, interpreter_classes
from larqlite.qat.tflite._quiet import quiet
from larqlite.qat.tflite._refusal import first_line

__all__ = [
    "TFLiteInterpreter",
    "first_line",
    "interpreter_classes",
    "positions_of",
    "quiet",
    "read_file",
    "step_of_output",
]
