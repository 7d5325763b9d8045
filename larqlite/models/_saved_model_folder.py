"""What a SavedModel folder holds, read as data: nothing in it is run or restored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tf_keras.protobuf import saved_metadata_pb2

from larqlite.errors import UnsupportedModelError
from larqlite.models._file_operations import op_touches_files, why_not_run

_SAVING = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")


class Folder(NamedTuple):
    """A SavedModel as data.

    Attributes:
        metadata: what Keras wrote of each object, as dictionaries: `class_name`,
            `config` and, of a model, `training_config`. Empty where Keras did not
            save the folder.
        operations: a phrase for each operation that touches files or runs Python when
            the model is loaded or called, and that is not Keras' own way of saving.
    """

    metadata: list[dict]
    operations: list[str]


def read_folder(path: Path, where: str) -> Folder:
    """Reads the two protocol buffers of a SavedModel.

    Args:
        path: the folder, which has a `saved_model.pb`.
        where: the function, for the message.

    Raises:
        UnsupportedModelError: one of the two is damaged.
    """
    model = saved_model_pb2.SavedModel()
    keras = saved_metadata_pb2.SavedMetadata()
    try:
        model.ParseFromString((path / "saved_model.pb").read_bytes())
        if (path / "keras_metadata.pb").exists():
            keras.ParseFromString((path / "keras_metadata.pb").read_bytes())
        texts = [node.metadata for node in keras.nodes]
        for graph in model.meta_graphs:  # where TensorFlow before 2.5 kept the same
            texts += [
                node.user_object.metadata
                for node in graph.object_graph_def.nodes
                if node.WhichOneof("kind") == "user_object" and not keras.nodes
            ]
        metadata = [json.loads(text) for text in texts if text]
    except (DecodeError, ValueError) as error:
        raise UnsupportedModelError(
            f"{where}: {str(path)!r} is no readable SavedModel ({error}).\n"
            "  Fix: it may be cut off or damaged; copy or save it again."
        ) from error
    operations = [each for graph in model.meta_graphs for each in _operations(graph)]
    return Folder(metadata, list(dict.fromkeys(operations)))


def _operations(graph) -> Iterator[str]:
    """Operations that do more than compute, outside of the functions that save."""
    saver = {
        graph.saver_def.save_tensor_name.partition(":")[0],
        graph.saver_def.restore_op_name,
    }
    of_saver: set[str] = set()
    elsewhere: set[str] = set()
    for node in graph.graph_def.node:
        called = set(_called(node))
        (of_saver if node.name in saver else elsewhere).update(called)
    for function in graph.graph_def.library.function:
        elsewhere.update(name for node in function.node_def for name in _called(node))
    of_saver -= elsewhere
    for node in graph.graph_def.node:
        yield from _operation(node, "its graph", saving=node.name in saver)
    for function in graph.graph_def.library.function:
        name = function.signature.name
        for node in function.node_def:
            yield from _operation(node, f'its function "{name}"', name in of_saver)


def _called(node) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for each in value.list.func:
            yield each.name


def _operation(node, where: str, saving: bool) -> Iterator[str]:
    if node.op == "PrintV2":
        if node.attr["output_stream"].s.startswith(b"file:"):
            yield f"the operation PrintV2 in {where} (writes a file)"
    elif op_touches_files(node.op) and not (saving and node.op in _SAVING):
        yield f"the operation {node.op} in {where} ({why_not_run(node.op)})"
