"""Directives `deploy-layers` and `deploy-lce`: what the converters themselves say, as tables.

The first lists the layers, quantizers and functions that `lq.deploy.export` takes; the second
what Larq Compute Engine made of larqlite's networks, as `tests/golden/lce.json` records it.
"""

import json
from collections import defaultdict
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LCE = Path(__file__).parents[2] / "tests" / "golden" / "lce.json"
LAYERS = {
    "tf_keras": "layers of Keras",
    "larqlite": "layers of larqlite",
    "larqlite_zoo": "layers of the zoo",
}
ACTIVATIONS = "activations and quantizers"
FUNCTIONS = "TensorFlow functions on tensors"


def layers_table() -> str:
    """All layers, activations and operators with a converter, as a Markdown table."""
    import larqlite_zoo  # noqa: F401  (registers its own layers)
    from larqlite.deploy import _converter_tables, converters  # noqa: F401  (registers the rest)

    found = defaultdict(set)
    for cls in _converter_tables.CONVERTERS:
        title = LAYERS.get(cls.__module__.partition(".")[0])
        if title and cls not in _converter_tables.REFUSALS:
            found[title].add(cls.__name__)
    for target, convert in _converter_tables.ACTIVATIONS.items():
        package = (getattr(target, "__module__", None) or "").partition(".")[0]
        # Others are added by a page, or are there to be refused.
        is_ours = package in (*LAYERS, "tensorflow")
        if is_ours and not convert.__name__.startswith("refuse"):
            found[ACTIVATIONS].add(target.__name__)
    found[FUNCTIONS] = {_short(symbol) for symbol in _converter_tables.OPERATORS}
    rows = ["| | |", "|---|---|"]
    for title in (*LAYERS.values(), ACTIVATIONS, FUNCTIONS):
        names = sorted(found[title], key=str.lower)
        rows.append(f"| {title} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(rows)


def _short(symbol: str) -> str:
    """The function as users write it."""
    return symbol.removeprefix("__operators__.").removeprefix("compat.v1.")


def lce_table() -> str:
    """Networks, and what computes their products in the converted file."""
    recorded = json.loads(LCE.read_text(encoding="utf-8"))
    rows = [
        "| network | products | bytes | largest difference |",
        "|---|---|---:|---:|",
    ]
    for name, case in recorded["cases"].items():
        ours = case["larqlite"]
        difference = f"{ours['difference'] / ours['largest']:.0e}"
        if ours["difference"] > 1e-3 * ours["largest"]:
            difference = f"**{difference}**"
        rows.append(
            f"| `{name}` | {_products(ours)} | {ours['bytes']:,} | {difference} |"
        )
    for name, model in recorded["zoo"].items():
        rows.append(f"| {name} | {_products(model)} | {model['bytes']:,} | |")
    return "\n".join(rows)


def _products(facts: dict) -> str:
    binary = facts["operations"].get("LceBconv2d")
    return f"{binary} `LceBconv2d`" if binary else "float"


class _Table(SphinxDirective):
    def text(self) -> str:
        """The table in Markdown."""
        raise TypeError(f"{type(self).__name__} defines no table")

    def run(self) -> list[nodes.Node]:
        """The table as nodes."""
        self.env.note_reread()  # converters change without the page
        container = nodes.container()
        content = StringList(self.text().split("\n"), source="the converters")
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


class Layers(_Table):
    """Replaces itself by what can be exported."""

    def text(self) -> str:
        return layers_table()


class Lce(_Table):
    """Replaces itself by what Larq Compute Engine made."""

    def text(self) -> str:
        return lce_table()


def setup(app: Sphinx) -> dict:
    """Adds the directives."""
    app.add_directive("deploy-layers", Layers)
    app.add_directive("deploy-lce", Lce)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
