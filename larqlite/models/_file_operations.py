"""Which operations of TensorFlow touch files, or run Python, when a model is called."""

from __future__ import annotations

import re

# By name of the operation in a graph; all of TensorFlow's that read or write what a
# string in the graph says, or that call back into Python.
_OPERATIONS = re.compile(
    "|".join(
        (
            "ReadFile|WriteFile|MatchingFiles|MatchingFilesDataset|ImmutableConst",
            "Save|SaveV2|SaveSlices|Restore|RestoreV2|RestoreSlice",
            "MergeV2Checkpoints|CheckpointHasKey",
            r"\w*(?:WholeFile|TextLine|TFRecord|FixedLengthRecord|LMDB)Reader\w*",
            r"(?:TextLine|TFRecord|FixedLengthRecord|Sql|LMDB|Save|Load)"
            r"Dataset\w*",
            r"Experimental(?:Sql|LMDB|CSV)Dataset|CSVDataset\w*|\w*Snapshot\w*Dataset\w*",
            r"DistributedSave|RegisterDataset\w*|RecordInput|Skipgram|DumpTensor",
            "FixedUnigramCandidateSampler|CalibrationStatisticsSaver",
            r"\w*DatasetToTFRecord|CacheDataset\w*|DataServiceDataset\w*",
            "LoadAndRemapMatrix|GenerateVocabRemapping|DecodeProtoV2|EncodeProto",
            "CreateSummaryFileWriter|CreateSummaryDbWriter",
            r"Debug(?:Identity|NanCount|NumericSummary)\w*",
            "PyFunc|PyFuncStateless|EagerPyFunc|RpcCall|RpcClient|RpcServer|RemoteCall",
        )
    )
)
# By name in the module tf. What is not below these is refused.
_COMPUTES = (
    "__operators__", "audio", "bitwise", "dtypes", "experimental.numpy", "image",
    "keras.activations", "keras.backend", "keras.losses", "keras.metrics", "linalg",
    "math", "nn", "quantization", "ragged", "random", "sets", "signal", "sparse",
    "strings",
)  # fmt: skip
_OF_IO = re.compile(r"io\.(?:decode|encode|parse|serialize|deserialize|is_|extract)\w*")
# Of these packages, what takes the name of a file all the same.
_READS_FILES = ("fixed_unigram_candidate_sampler",)
_NOT_ON_TENSORS = (
    "print", "function", "py_func", "py_function", "numpy_function", "load_library",
    "load_op_library", "load_file_system_library", "read_file", "write_file",
    "matching_files", "Session", "InteractiveSession", "import_graph_def", "Module",
)  # fmt: skip


def op_touches_files(op: str) -> bool:
    """Whether an operation of a graph reads or writes files, or calls Python.

    >>> op_touches_files("WriteFile"), op_touches_files("MatMul")
    (True, False)
    """
    return _OPERATIONS.fullmatch(op) is not None or op == "of an unknown name"


def symbol_touches_files(symbol: str) -> bool:
    """Whether a function of the module `tf` may do more than compute on tensors.

    >>> symbol_touches_files("io.write_file"), symbol_touches_files("math.add")
    (True, False)
    """
    symbol = re.sub(r"^(?:tf\.|compat\.v[12]\.)+", "", symbol)
    if symbol.startswith("raw_ops."):
        return op_touches_files(symbol.removeprefix("raw_ops."))
    if "." not in symbol:
        return symbol in _NOT_ON_TENSORS
    if symbol.rpartition(".")[2] in _READS_FILES:
        return True
    if symbol.startswith("debugging."):
        return not symbol.startswith(("debugging.assert", "debugging.check_numerics"))
    if _OF_IO.fullmatch(symbol):
        return False
    return not symbol.startswith(tuple(f"{package}." for package in _COMPUTES))


def why_not_run(name: str) -> str:
    """What an operation or a function of that name does, for a message."""
    if ("py" in name.lower() and "func" in name.lower()) or "numpy_function" in name:
        return "calls Python"
    if "Rpc" in name or "RemoteCall" in name:
        return "calls another machine"
    return "may read or write files"
