"""The operations of the domain `ai.larqlite` as functions that a file carries.

`larqlite_runtime.format` has them, each with its body. A file carries the functions that it
uses, so that other runtimes can run it. A `Pad` in them has no axes, which older ones refuse
where attributes of a function stand for numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from larqlite.errors import ArgumentError
from larqlite_runtime.format import DOMAIN, OPERATIONS, OPSET

if TYPE_CHECKING:
    import onnx


# Of operations that are added elsewhere.
DOMAIN_VERSION = 1


def version_of(operations: Iterable[str]) -> int:
    """The lowest version of the domain that has these operations, and what they need."""
    return max((OPERATIONS[name].since for name in operations), default=1)


@functools.cache
def function(name: str, version: int | None = None) -> onnx.FunctionProto:
    """The function of an operation of this domain, in a file of a version."""
    import onnx.parser

    operation = OPERATIONS[name]
    version = version or operation.since
    uses = f', "{DOMAIN}": {version}' if operation.uses else ""
    header = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}{uses}]>'
    return onnx.parser.parse_function(header + operation.body)


def function_from_nodes(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    imports: Mapping[str, int] | None = None,
) -> onnx.FunctionProto:
    """An operation of this domain that is made of nodes, for operations added elsewhere.

    Args:
        name: of the operation; none of those written here.
        nodes: in the order in which they run. A tensor that none of them gives out is an
            input, in the order of first use; one that none of them takes is an output;
            an attribute that refers to another is an attribute of the operation.
        imports: versions of the domains that the nodes come from.

    Raises:
        ArgumentError: the name is taken.
    """
    from onnx import helper

    if name in function_names():
        raise ArgumentError(
            f'an operation "{name}" cannot be added to {DOMAIN}: it is there already.\n'
            "  Fix: another name."
        )
    given = {tensor for node in nodes for tensor in node.output}
    taken = list(dict.fromkeys(t for node in nodes for t in node.input if t))
    attributes = [a.ref_attr_name for node in nodes for a in node.attribute]
    return helper.make_function(
        DOMAIN,
        name,
        [tensor for tensor in taken if tensor not in given],
        [t for node in nodes for t in node.output if t and t not in taken],
        nodes,
        [helper.make_opsetid(*item) for item in (imports or {"": OPSET}).items()],
        list(dict.fromkeys(filter(None, attributes))),
    )


def function_names() -> list[str]:
    """The operations that there are."""
    return list(OPERATIONS)


def functions_used_by(
    operations: set[str], version: int | None = None
) -> list[onnx.FunctionProto]:
    """The functions of these operations and those that they use, in a fixed order.

    Args:
        operations: names.
        version: of the domain in the file; the lowest that has them by default.
    """
    used = {name for operation in operations for name in OPERATIONS[operation].uses}
    version = version_of(operations) if version is None else version
    return [function(name, version) for name in sorted(operations | used)]
