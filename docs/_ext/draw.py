"""The directive `draw`: runs Python while the page is built, and shows its figure.

The code of the directive is not shown. It sees what the Python blocks above it on the
page have defined, so a page can draw what it has just explained. Each picture is there
twice, for light and for dark pages. Options: `alt`, a sentence in place of the picture.
"""

import hashlib
from pathlib import Path

import pages
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from larqlite.plot import darken

# The class of furo by which a page shows a picture in one of its themes only.
THEMES = ("only-light", "only-dark")
LONG = 9  # inches


def pictures(app: Sphinx, figure, name: str) -> dict[str, str]:
    """Saves a figure for light and for dark pages, without a background.

    Returns:
        By the class of `THEMES`, the path as pages refer to it, from the source folder.
    """
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    for part in (figure, *figure.axes):
        part.patch.set_alpha(0)
    figure.savefig(folder / f"{name}.svg")
    darken(figure)
    figure.savefig(folder / f"{name}_dark.svg")
    paths = f"/_generated/{name}.svg", f"/_generated/{name}_dark.svg"
    return dict(zip(THEMES, paths, strict=True))


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
        paths = pictures(self.env.app, figure, name)
        alt = self.options["alt"]
        images = [
            nodes.image(uri=uri, alt=alt, classes=[theme])
            for theme, uri in paths.items()
        ]
        # On a telephone it scrolls in its box, by as much as its words need.
        classes = ["drawn", "long"] if figure.get_figwidth() > LONG else ["drawn"]
        return [nodes.container("", *images, classes=classes)]


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
