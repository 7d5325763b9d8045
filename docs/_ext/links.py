"""Inline code such as `lq.quantizers.get` becomes a link to the reference.

It is looked up in the package too: a name that does not exist is a warning, and
warnings are errors in this build.
"""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

import larqlite

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?:lq|larqlite)((?:\.[A-Za-z_]\w*)+)(?:\(.*\))?", re.DOTALL)


def target_of(code: str) -> str | None:
    """The full dotted name that a piece of inline code means, or None if it is none."""
    match = _NAME.fullmatch(code)
    return match and "larqlite" + match[1]


def exists(target: str) -> bool:
    """Whether the package has an attribute of that dotted name."""
    found = larqlite
    for part in target.split(".")[1:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


class CodeLinks(SphinxPostTransform):
    """Wraps inline code that names something of larqlite into a reference."""

    default_priority = 5  # before Sphinx resolves references

    def run(self, **kwargs) -> None:
        for node in list(self.document.findall(nodes.literal)):
            target = target_of(node.astext())
            if target is None or isinstance(
                node.parent, (nodes.reference, pending_xref)
            ):
                continue
            if not exists(target):
                log.warning("larqlite has no %s", node.astext(), location=node)
                continue
            reference = pending_xref(
                "",
                refdomain="py",
                reftype="obj",
                reftarget=target,
                refdoc=self.env.current_document.docname,
                refexplicit=True,
                refwarn=False,
            )
            node.replace_self(reference)
            reference += node


def setup(app: Sphinx) -> dict:
    """Adds the transform."""
    app.add_post_transform(CodeLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
