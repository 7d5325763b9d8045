"""The model card: README.md with the front matter that the Hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from larqlite.errors import ArgumentError
from larqlite_runtime.notebook import ShownTable, ShowsTables

_TAGS = ("larqlite", "binarized-neural-networks", "quantization", "keras", "onnx")


def model_card(repo_id: str, card: Any, report: Any, profile: Any, licence: Any) -> str:
    """The text of README.md.

    Args:
        repo_id: name of the repository.
        card: a card of the zoo or another report, Markdown of the user, or None.
        report: what `lq.deploy.export` wrote.
        profile: of the model, from `lq.models.profile`.
        licence: its short name on the Hub, such as "apache-2.0"; or None.
    """
    title = repo_id.rpartition("/")[2]
    parts = [
        _front_matter(licence),
        f"# {title}",
        f"A low-bit network, packed by [larqlite](https://github.com/larqlite/larqlite): "
        f"weights of {report.weight_bytes:,} bytes, of "
        f"{profile.memory_bits_float32 // 8:,} in float32.",
        f"```python\nimport larqlite as lq\n\n"
        f'pulled = lq.hub.pull("{repo_id}")\n'
        "packed = pulled.packed()  # runs without TensorFlow\n"
        "model = pulled.model()    # the Keras model, to train it on\n```",
    ]
    if isinstance(card, str):
        parts.append(card.strip())
    elif card is not None:
        parts += map(_markdown, card._shown())
    parts += ["## Layers", profile.to_markdown(), "## The packed file"]
    parts += map(_markdown, report._shown())
    return "\n\n".join(parts) + "\n"


def require_card(card: Any, where: str) -> None:
    """Refuses what is no card.

    Raises:
        ArgumentError: it is neither text nor a report.
    """
    if not (card is None or isinstance(card, (str, ShowsTables))):
        raise ArgumentError(
            f"{where}: card={card!r} is a {type(card).__name__}.\n"
            '  Fix: Markdown, or a card such as larqlite_zoo.card("binary_vgg_small").'
        )


def _front_matter(licence: Any) -> str:
    lines = ["---", "library_name: larqlite"]
    # JSON is YAML, and quotes whatever needs it.
    lines += [f"license: {json.dumps(licence)}"] if licence else []
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in _TAGS), "---"])


def _markdown(table: ShownTable) -> str:
    parts = [f"**{_escaped(table.title)}**"] if table.title else []
    rows = [*table.rows, *([table.totals] if table.totals else [])]
    if rows:
        rule = "|" + "---|" * len(table.header)
        lines = [_line(table.header), rule, *map(_line, rows)]
        parts.append("\n".join(lines))
    parts += [_escaped(note) for note in table.notes]
    return "\n\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return " ".join(text.split("\n"))
