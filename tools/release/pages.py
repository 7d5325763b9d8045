"""Links of a Markdown page as they are seen elsewhere: from relative ones to absolute ones."""

import re
from pathlib import Path

# ](target), ](target "title"), [name]: target, src="target", srcset="target".
_LINKS = (
    re.compile(r"(?P<before>!?\[[^\]]*\]\()(?P<target>[^)\s]+)(?P<after>[^)]*\))"),
    re.compile(r"(?P<before>^\[[^\]]+\]:\s+)(?P<target>\S+)(?P<after>)", re.M),
    re.compile(r'(?P<before>\s(?:src|srcset|href)=")(?P<target>[^"]+)(?P<after>")'),
)
_FENCED = re.compile(r"(^```.*?^```[^\n]*$)", re.M | re.S)
_PICTURES = (".svg", ".png", ".jpg", ".gif", ".webp")


def with_absolute_links(text: str, root: Path, repository: str, tag: str) -> str:
    """A page of the root of a repository, whose links and pictures work anywhere.

    Args:
        text: the page; what stands between ``` is left alone.
        root: of the checkout, in which targets have to be there.
        repository: its address.
        tag: the state of it that links lead to.

    Raises:
        ValueError: a link leads to no file.
    """

    def absolute(match: re.Match) -> str:
        target = match["target"]
        if re.match(r"[a-z][a-z0-9+.-]*:|#|//", target, re.I):
            return match[0]
        path, mark, anchor = target.partition("#")
        if not (root / path).exists():
            raise ValueError(
                f"README.md: a link leads to {path}, which is not there.\n"
                "  Fix: name a file or folder of the repository."
            )
        way = "raw" if path.endswith(_PICTURES) else "blob"
        way = "tree" if (root / path).is_dir() else way
        address = f"{repository}/{way}/{tag}/{path.rstrip('/')}{mark}{anchor}"
        return f"{match['before']}{address}{match['after']}"

    parts = _FENCED.split(text)
    for number in range(0, len(parts), 2):  # every other one is fenced
        for links in _LINKS:
            parts[number] = links.sub(absolute, parts[number])
    return "".join(parts)
