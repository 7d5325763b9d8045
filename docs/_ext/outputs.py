"""Long lines that code prints, such as error messages, wrap; tables scroll instead."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

TABLE_EDGE = ("+", "|")


class WrapOutputs(SphinxTransform):
    """Gives the class `wrapped` to `text` blocks that hold no table."""

    default_priority = 500

    def apply(self, **kwargs) -> None:
        for block in self.document.findall(nodes.literal_block):
            lines = block.astext().splitlines()
            has_table = any(line.startswith(TABLE_EDGE) for line in lines)
            if block.get("language") in ("text", "console") and not has_table:
                block["classes"].append("wrapped")


def setup(app: Sphinx) -> dict:
    """Adds the transform."""
    app.add_transform(WrapOutputs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
