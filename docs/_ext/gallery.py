"""The directive `quantizer-gallery`: every registered quantizer, from the registry itself.

For each: its name and class, the text and formula of its docstring, a picture of q(x)
and of the pseudo-gradient, its precision, its arguments and its references.
"""

import inspect
import re
import textwrap

from docutils import nodes
from docutils.statemachine import StringList
from draw import pictures
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import larqlite as lq

# Quantizers whose arguments change the picture, or that need arguments, are shown so.
VARIANTS = {
    "SwishSign": ({}, {"beta": 10.0}),
    "DoReFa": ({}, {"k_bit": 3, "mode": "weights"}),
    "NoOp": ({"precision": 1},),
    "LQLevels": ({}, {"bits": 3, "mode": "weights"}),
    "LSQ": ({}, {"bits": 2, "mode": "weights"}),
    "LSQPlus": ({"bits": 3},),
    "PACT": ({"bits": 2, "alpha": 1.5},),
    "Uniform": ({"bits": 3, "signed": True},),
    "IntSymmetric": ({"bits": 3},),
}


def sections_of(docstring: str) -> dict[str, str]:
    """The sections of a docstring by title; "" is what stands before the first one."""
    parts = re.split(r"^(\w+):$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    titles, bodies = ["", *parts[1::2]], parts[0::2]
    return {
        title: textwrap.dedent(body).strip()
        for title, body in zip(titles, bodies, strict=True)
    }


def call_of(entry, arguments: dict) -> str:
    """The Python expression that makes the quantizer."""
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"lq.quantizers.{entry.target.__name__}({written})"


def entry_as_markdown(entry, drawn: list[tuple[str, int, dict[str, str]]]) -> str:
    """One entry of the gallery as MyST, without its heading.

    Args:
        entry: one of `lq.quantizers.entries()`.
        drawn: for each picture, the expression, its precision, and the paths by theme.
    """
    sections = sections_of(entry.target.__doc__)
    lines = [sections[""], ""]
    for call, _, paths in drawn:
        alt = f"q(x) of {call}, and its pseudo-gradient"
        lines += [f"`{call}`", ""]
        for theme, path in paths.items():
            lines += [
                f"```{{image}} {path}",
                f":alt: {alt}",
                f":class: {theme}",
                "```",
                "",
            ]
    names = ", ".join(f'`"{name}"`' for name in (entry.name, *entry.aliases) if name)
    facts = {
        "By name": names
        if entry.name
        else f"no, it needs arguments (known as {names})",
        "Class": f"`lq.quantizers.{entry.target.__name__}`",
        "Precision": ", ".join(
            f"{bits} bit{'s' * (bits != 1)}" + (f" for `{call}`" * (len(drawn) > 1))
            for call, bits, _ in drawn
        ),
    }
    if "References" in sections:
        reference = " ".join(sections["References"].split())
        facts["Reference"] = re.sub(r"https://[^\s,;]+", r"<\g<0>>", reference)
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {fact} |" for name, fact in facts.items()]
    return "\n".join(lines)


class QuantizerGallery(SphinxDirective):
    """Replaces itself by one section per registered quantizer of the package."""

    def run(self) -> list[nodes.Node]:
        found = []
        for entry in lq.quantizers.entries():
            if not entry.target.__module__.startswith("larqlite."):
                continue  # registered by a page of this documentation
            name = entry.target.__name__
            drawn = []
            for number, arguments in enumerate(VARIANTS.get(name, ({},))):
                quantizer = entry.target(**arguments)
                figure = lq.plot.quantizer(quantizer)
                paths = pictures(self.env.app, figure, f"gallery_{name}_{number}")
                drawn.append((call_of(entry, arguments), quantizer.precision, paths))
            section = nodes.section(ids=[nodes.make_id(name)], names=[name.lower()])
            section += nodes.title("", name)
            content = StringList(
                entry_as_markdown(entry, drawn).split("\n"),
                source=f"docstring of {name}",
            )
            self.state.nested_parse(content, self.content_offset, section)
            found.append(section)
        return found


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("quantizer-gallery", QuantizerGallery)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
