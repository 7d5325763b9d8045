"""Docstrings as the package writes them, turned into what Sphinx reads.

They hold `code`, $inline math$ and $$ displayed math $$, and bars as in |x|. A terminal
shows them well; reStructuredText needs roles and directives instead.
"""

import inspect
import re
import textwrap

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

_PIECES = re.compile(
    r"^(?P<indent>[ ]*)\$\$(?P<block>.+?)\$\$(?P<after>[^\n]*)$"
    r"|(?<!\$)\$(?!\$)(?P<math>[^$]+?)\$"
    r"|(?<!`)``(?P<double>[^`]+?)``(?!`)"
    r"|(?<![`:])`(?P<code>[^`]+?)`(?P<suffix>\w*)"
    r"|(?P<bar>\|)",
    re.DOTALL | re.MULTILINE,
)


def as_restructured_text(lines: list[str]) -> list[str]:
    """The same docstring with its math, code and bars as reStructuredText.

    Examples (lines that begin with `>>>`, up to a blank line) stay as they are.
    """
    result, text = [], []
    in_example = False
    for line in lines:
        starts_example = line.lstrip().startswith(">>>")
        in_example = starts_example or (in_example and line.strip() != "")
        if in_example:
            result += _converted(text)
            text = []
            result.append(line)
        else:
            text.append(line)
    return result + _converted(text)


def _converted(lines: list[str]) -> list[str]:
    if not lines:
        return []
    return _PIECES.sub(_replacement, "\n".join(lines)).split("\n")


def _replacement(match: re.Match) -> str:
    if match["block"]:
        indent = match["indent"]
        formula = "\n".join(line.strip() for line in match["block"].strip().split("\n"))
        body = textwrap.indent(formula, indent + "   ")
        after = match["after"].strip()
        rest = f"\n{indent}{after}" if after else ""
        return f"\n{indent}.. math::\n\n{body}\n{rest}"
    if match["math"]:
        return f":math:`{' '.join(match['math'].split())}`"
    if match["code"]:
        suffix = f"\\ {match['suffix']}" if match["suffix"] else ""
        return f"``{' '.join(match['code'].split())}``{suffix}"
    return "\\|" if match["bar"] else match[0]


def _process(app, what, name, obj, options, lines) -> None:
    lines[:] = as_restructured_text(lines)
    if what == "property":
        # An empty comment; or napoleon takes what precedes a colon for a type.
        lines[:0] = ["..", ""]


def _signature_of_init(app, what, name, obj, options, signature, returned):
    """The arguments of `__init__`: Keras layers have a `__new__` that hides them."""
    if what != "class":
        return None
    owner = next(base for base in obj.__mro__ if "__init__" in vars(base))
    if not owner.__module__.startswith("larqlite"):
        return None
    init = inspect.signature(owner.__init__)
    arguments = list(init.parameters.values())[1:]
    shown = init.replace(parameters=arguments)
    return stringify_signature(shown, show_annotation=False), None


def setup(app: Sphinx) -> dict:
    """Converts every docstring before napoleon reads its sections."""
    app.connect("autodoc-process-signature", _signature_of_init)
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
