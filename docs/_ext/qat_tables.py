"""Directive `qat-layers`: the layers that a scheme quantizes, from the table of rules itself."""

from collections import defaultdict

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGES = ("tf_keras.", "keras.")
NOTHING = "–"


def layers_table() -> str:
    """Rules as a Markdown table, layers with equal rules in one row."""
    from larqlite.qat.schemes import _rules

    outputs = {_rules._always: "yes", _rules._never: NOTHING}
    names = defaultdict(list)
    for cls, rule in _rules.RULES.items():
        if not cls.__module__.startswith(PACKAGES):
            continue  # a page or a test has added it
        name = f"`{cls.__name__}`"
        if rule.outputs not in outputs:
            name += f" ({rule.outputs.__doc__})"
        activation = "yes" if rule.activations else NOTHING
        parts = (_weights(rule), activation, outputs.get(rule.outputs, "depends"))
        names[parts].append(name)
    rows = [("layers", "weights", "activation", "output"), ("---",) * 4]
    rows += [
        (", ".join(classes), *parts)
        for parts, classes in sorted(names.items(), key=_by_how_much)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _weights(rule) -> str:
    return (
        "<br>".join(
            f"`{path}`, {'each channel' if per_axis else 'as a whole'}"
            for path, per_axis in rule.weights.items()
        )
        or NOTHING
    )


def _by_how_much(row) -> list[bool]:
    """Layers with more to quantize come first."""
    return [part == NOTHING for part in row[0]]


class Layers(SphinxDirective):
    """Replaces itself by the table."""

    def run(self) -> list[nodes.Node]:
        """The table as nodes."""
        self.env.note_reread()  # rules change without the page
        container = nodes.container()
        content = StringList(layers_table().split("\n"), source="the rules")
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("qat-layers", Layers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
