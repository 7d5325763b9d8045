"""Writes the outputs of pages and notebooks anew: what their code prints here, today.

`make docs-outputs` does all of them, `make docs-outputs ARGS="docs/start.md"` one. A block
whose output agrees, and that says nothing about how near it must come, stays as it is.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ROOT / "docs" / "_ext"


def extensions() -> tuple[ModuleType, ModuleType]:
    """The modules `compare` and `pages` of the documentation, which are no package."""
    if str(EXTENSIONS) not in sys.path:
        sys.path.insert(0, str(EXTENSIONS))
    return importlib.import_module("compare"), importlib.import_module("pages")


def refresh_page(path: Path) -> list[str]:
    """Runs a page and writes its outputs into it.

    Returns:
        A line for each output that left something out (`...`) and agrees no more, since
        only a reader can say what it should leave out now; and for each relation of its
        numbers that does not hold here.
    """
    compare, pages = extensions()
    text, complaints, edits = path.read_text(encoding="utf-8"), [], []
    with pages.fresh_page() as namespace:
        for block in pages.blocks_of(text):
            _, shown = pages.shown_by(block, path, namespace)
            if block.output is None or block.kind == "{draw}":
                continue
            for relation in compare.untrue(block.near, shown):
                complaints.append(f"{path}:{block.line}: not {relation} in\n{shown}")
            agrees = compare.matches(block.output, shown, block.near)
            if compare.leaves_out(block.output, block.near):
                if not agrees:
                    complaints.append(f"{path}:{block.line} now prints\n{shown}")
            elif block.near or not agrees:
                _, shown = compare.first_lines(block.near, shown)
                edits.append((block.output_span, _as_shown(shown)))
    for (begin, end), shown in reversed(edits):
        text = text[:begin] + shown + text[end:]
    path.write_text(text, encoding="utf-8")
    return complaints


def _as_shown(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").split("\n"))


def refresh_notebook(path: Path) -> None:
    """Runs a notebook and keeps what it shows."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=600, resources=folder, coalesce_streams=True
    ).execute()
    tidy(notebook)
    nbformat.write(notebook, path)


def tidy(notebook) -> None:
    """Takes out of outputs what differs from run to run, and what nobody reads."""
    temporary = re.compile(rf"{re.escape(tempfile.gettempdir())}/\w+/")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [
            output for output in cell.outputs if output.get("name") != "stderr"
        ]
        for output in cell.outputs:
            if "text" in output:
                output.text = temporary.sub("", output.text)
            data = output.get("data", {})
            if "text/plain" in data:
                data["text/plain"] = temporary.sub("", data["text/plain"])
            # Tables and lines of rich, which are the same as text.
            if data.get("text/html", "").startswith("<pre"):
                del data["text/html"]
    notebook.metadata["language_info"] = {"name": "python"}


def main(words: list[str]) -> int:
    """Refreshes the files that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    named = parser.parse_args(words).files
    every = sorted((ROOT / "docs").rglob("*.md")) + sorted(
        (ROOT / "notebooks").glob("*.ipynb")
    )
    warnings.simplefilter("ignore")
    complaints = []
    for path in [file.resolve() for file in named] or every:
        print(path.relative_to(ROOT), flush=True)
        if path.suffix == ".ipynb":
            refresh_notebook(path)
        else:
            complaints += refresh_page(path)
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
