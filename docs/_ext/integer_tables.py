"""Directives `integer-layers` and `integer-onnx`: what becomes which integer layer."""

from collections import defaultdict

import tensorflow as tf
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGES = ("tf_keras.", "keras.", "larqlite.")
OURS = "larqlite."
NOTHING = "–"


def layers_table() -> str:
    """Integer layers as a Markdown table: what they replace, take, and can be told."""
    from larqlite.integer.layers import internal

    floats = defaultdict(list)
    for float_cls, cls in internal.QUANTIZED.items():
        if float_cls.__module__.startswith(PACKAGES):  # not what a page has added
            floats[cls].append(_name(float_cls))
    rows = [
        ("float", "integer", "takes", "keys of `quant_config`"),
        ("---",) * 4,
        *(
            (", ".join(names), f"`{cls.__name__}`", _takes(cls), _keys(cls))
            for cls, names in sorted(floats.items(), key=lambda item: item[0].__name__)
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def onnx_table() -> str:
    """Operators of ONNX as a Markdown table: their layers, and how they are computed."""
    from larqlite.integer.onnx.quantization import OPERATORS

    rows = [
        ("operators", "become", "integers", "stay float"),
        ("---",) * 4,
        *(
            (
                ", ".join(f"`{name}`" for name in row.names),
                ", ".join(f"`{cls.__name__}`" for cls in row.layers),
                row.integers,
                row.refused or NOTHING,
            )
            for row in OPERATORS
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _name(cls: type) -> str:
    """The class as users write it: those of Keras without a prefix."""
    if not cls.__module__.startswith(OURS):
        return f"`{cls.__name__}`"
    folder = ".".join(cls.__module__.split(".")[1:-1])
    return f"`{folder}.{cls.__name__}`"


def _takes(cls: type) -> str:
    names = [
        "plain integers" if c is tf.Tensor else f"`{c.__name__}`" for c in cls.accepts
    ]
    return ", ".join(names)


def _keys(cls: type) -> str:
    keys = [*cls.quantizer_slots, *cls.extra_config]
    if cls.buffer_cap is not None:
        keys.append("buffer_bitwidth")
    return ", ".join(f"`{key}`" for key in keys) or NOTHING


class Layers(SphinxDirective):
    """Replaces itself by the table."""

    table = staticmethod(layers_table)

    def run(self) -> list[nodes.Node]:
        """The table as nodes."""
        self.env.note_reread()  # layers change without the page
        container = nodes.container()
        content = StringList(self.table().split("\n"), source="the registry")
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


class OnnxOperators(Layers):
    """Replaces itself by the table of operators."""

    table = staticmethod(onnx_table)


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("integer-layers", Layers)
    app.add_directive("integer-onnx", OnnxOperators)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
