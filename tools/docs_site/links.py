"""Finds links and anchors of the built documentation that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What is made by Sphinx of the code itself.
SOURCES = "_modules"


@dataclass
class Page(HTMLParser):
    """The anchors of a page, where its links and pictures lead, and what it shows where a
    link to it is shared."""

    anchors: set[str] = field(default_factory=set)
    targets: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def has(self, fragment: str) -> bool:
        """Whether there is an anchor of that name, as it stands in an address."""
        return unquote(fragment) in self.anchors

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser for every tag."""
        given = dict(attrs)
        for name in ("id", "name"):
            if given.get(name) and (name == "id" or tag == "a"):
                self.anchors.add(given[name])
        for name in ("href", "src"):
            if given.get(name):
                self.targets.append(given[name])
        if given.get("property") == "og:image":
            self.shared.append(given.get("content") or "")


def pages_of(folder: Path) -> dict[Path, Page]:
    """Every HTML file of a folder, read."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def broken(folder: Path, repository: str = "", root: Path | None = None) -> list[str]:
    """A line for each link that leads nowhere.

    Args:
        folder: of the built site.
        repository: the address of the repository; links into its files are looked up in
            `root`. Other addresses are not called.
        root: the checkout.
    """
    pages = pages_of(folder)
    complaints = []
    for path, page in pages.items():
        for target in dict.fromkeys(page.targets):
            for why in _faults(target, path, pages, folder, repository, root):
                complaints.append(f"{path.relative_to(folder)}: {target} {why}")
        complaints += [
            f"{path.relative_to(folder)}: {shared} (og:image) is no file of the site"
            for shared in page.shared
            if not _is_of_the_site(shared, folder)
        ]
    return complaints


def _is_of_the_site(shared: str, folder: Path) -> bool:
    """Whether a shared picture is a file; its address is from the root of the site, which
    may be served from a folder of its host."""
    parts = [part for part in unquote(urlsplit(shared).path).split("/") if part]
    starts = range(len(parts) if urlsplit(shared).netloc else min(1, len(parts)))
    return any(folder.joinpath(*parts[start:]).is_file() for start in starts)


def _faults(target, path, pages, folder, repository, root) -> Iterator[str]:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        if repository and root and target.startswith(repository):
            yield from _file_faults(target, repository, root)
        return
    base = folder if parts.path.startswith("/") else path.parent
    file = path
    if parts.path:
        file = (base / unquote(parts.path).lstrip("/")).resolve()
    file = file / "index.html" if file.is_dir() else file
    if not file.exists():
        yield "is no file"
    elif SOURCES in path.relative_to(folder).parts:
        return  # Sphinx links sources back to each name of an object, also unlisted ones
    elif parts.fragment and file in pages and not pages[file].has(parts.fragment):
        yield "has no such anchor"


def _file_faults(target: str, repository: str, root: Path) -> Iterator[str]:
    """Addresses such as REPOSITORY/blob/main/docs/start.md."""
    _, _, kind_and_file = target.partition(repository.rstrip("/") + "/")
    kind, _, rest = kind_and_file.partition("/")
    if kind in ("blob", "edit", "tree", "raw"):
        _, _, file = rest.partition("/")
        if not (root / urlsplit(file).path).exists():
            yield "is no file of the repository"
