"""Math as MathML, made by docutils: pages need no script and no network for it."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)

# docutils sets no space between a function and its neighbours.
_FUNCTION = re.compile(r"\\(?:tanh|cosh|log|exp|max|min)\b(?!\()")


def _mathml(node: nodes.Element, as_block: bool) -> str:
    formula = _FUNCTION.sub(r"\\,\g<0>\\,", node.astext())
    try:
        return tex2mathml(formula, as_block=as_block)
    except MathError as error:
        log.warning("cannot read the formula %r: %s", formula, error, location=node)
        return ""


def _inline(translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    """Registers the renderer that `html_math_renderer = "mathml"` asks for."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
