"""What other packages use of the runtime beside its API; it may change without notice."""

from larqlite_runtime._load import part_loader
from larqlite_runtime._program import (
    CODE_BLOCKS,
    CODES,
    FLOAT_CONVS,
    GATHERS,
    INTEGER_SUMS,
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
    MOVE_FIELDS,
    NOWHERE,
    PACKS,
    POOLS,
    SUMS_OF_INTEGERS,
    Buffer,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    Program,
    StepKind,
    TensorView,
)
from larqlite_runtime._run_program import run_program
from larqlite_runtime._whole_program import (
    Pixels,
    ProgramTensor,
    WholeProgram,
    whole_program,
)
from larqlite_runtime.backends import ABI, supports

__all__ = [
    "ABI",
    "CODES",
    "CODE_BLOCKS",
    "FLOAT_CONVS",
    "GATHERS",
    "INTEGER_SUMS",
    "LANES",
    "LOOKUP_BYTES",
    "LOOKUP_LANES",
    "MOVE_FIELDS",
    "NOWHERE",
    "PACKS",
    "POOLS",
    "SUMS_OF_INTEGERS",
    "Buffer",
    "EpilogueKind",
    "EpilogueOp",
    "KernelStep",
    "Pixels",
    "Program",
    "ProgramTensor",
    "StepKind",
    "TensorView",
    "WholeProgram",
    "part_loader",
    "run_program",
    "supports",
    "whole_program",
]
