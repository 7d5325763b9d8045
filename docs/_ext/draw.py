"""The directive `draw`: runs Python while the page is built, and shows its figure.

The code of the directive is not shown. It sees what the Python blocks above it on the
page have defined, so a page can draw what it has just explained. Options: `alt`, a
sentence in place of the picture.
"""

import hashlib
from pathlib import Path

import pages
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def picture(app: Sphinx, figure, name: str) -> str:
    """Saves a figure; returns its path as pages refer to it, from the source folder."""
    path = Path(app.srcdir, "_generated", f"{name}.svg")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    return f"/_generated/{path.name}"


class Draw(SphinxDirective):
    """Shows the figure that the last line of its content gives."""

    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        code = "\n".join(self.content) + "\n"
        page = Path(self.env.doc2path(self.env.docname))
        if "figures" not in self.env.temp_data:
            self.env.temp_data["figures"] = _figures(page)
        figure = self.env.temp_data["figures"][code]
        digest = hashlib.sha256(code.encode()).hexdigest()[:8]
        name = f"{self.env.docname.replace('/', '_')}_{digest}"
        uri = picture(self.env.app, figure, name)
        return [nodes.image(uri=uri, alt=self.options["alt"])]


def _figures(page: Path) -> dict[str, object]:
    """The figures of a page by the code that draws them; the whole page is run."""
    figures = {}
    with pages.fresh_page() as namespace:
        for block in pages.blocks_of(page.read_text(encoding="utf-8")):
            if block.kind != "console":
                value, _ = pages.run(block, page, namespace)
                figures[block.code] = value
    return figures


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("draw", Draw)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
