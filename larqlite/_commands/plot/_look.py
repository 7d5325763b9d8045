"""The flags that every picture has: where it goes, and how it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, arg

from larqlite.command_line import Json, import_modules, output_flag, tell
from larqlite.errors import ArgumentError

WHERE = "lq plot"


@dataclass(frozen=True, kw_only=True)
class LookOptions:
    """Where a picture goes, and how it looks; see `lq.plot.Look`."""

    output: Annotated[
        Path | None,
        output_flag(
            "Where to write the picture (.png, .svg or .pdf).",
            "a .png named after what is drawn",
        ),
    ] = None
    title: Annotated[
        str | None,
        arg(
            metavar="TEXT",
            help='Above the picture; "" for none.',
            help_behavior_hint="(default: what is drawn)",
        ),
    ] = None
    size: Annotated[
        str | None,
        arg(
            metavar="WIDTHxHEIGHT",
            help="In inches, such as 3.4x2.5; a column of a paper is 3.4 wide.",
            help_behavior_hint="(default: as large as it takes)",
        ),
    ] = None
    dpi: Annotated[
        float | None,
        arg(
            metavar="NUMBER",
            help="Pixels per inch of a .png.",
            help_behavior_hint="(default: 110)",
        ),
    ] = None
    theme: Annotated[
        Literal["light", "dark"], arg(help="Dark for pages and slides that are dark.")
    ] = "light"
    transparent: FlagCreatePairsOff[
        Annotated[bool, arg(help="Leave out the background.")]
    ] = False
    json: Json = False

    def draw(
        self,
        figure: str,
        content: Callable[[], Any],
        default: str | Path,
        *read: Path,
        imports: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        """Draws, and says what was written.

        Args:
            figure: a function of `lq.plot`, by its name.
            content: gives its first argument, once it is known that the picture may be
                written.
            default: the name of the picture, if `--output` gives none.
            read: files that are read.
            imports: modules that register what the user defines.
            options: of the function.

        Raises:
            ArgumentError: an option or a file that cannot be.
        """

        def work() -> tuple[dict[str, str], int]:
            import_modules("lq", imports)
            import larqlite

            path = self._path(Path(default), read)
            draw = getattr(larqlite.plot, figure)
            draw(content(), path=path, **options, **self._look())
            print(f"wrote {path}")
            return {"wrote": str(path)}, 0

        tell(work, self.json)

    def _path(self, default: Path, read: tuple[Path, ...]) -> Path:
        """Where to draw; the default is no reason to write over what is there."""
        from larqlite.plot import require_picture

        default_of = None if self.output else "--output"
        return require_picture(self.output or default, WHERE, read, default_of)

    def _look(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "size": _size_of(self.size),
            "dpi": self.dpi,
            "theme": self.theme,
            "transparent": self.transparent,
        }


def _size_of(text: str | None) -> tuple[float, float] | None:
    """Width and height of "3.4x2.5".

    >>> _size_of("3.4x2.5")
    (3.4, 2.5)
    """
    if text is None:
        return None
    found = re.fullmatch(r"([\d.]+) ?[x,] ?([\d.]+)", text)
    try:
        width, height = map(float, found.groups() if found else ())
    except ValueError as error:
        raise ArgumentError(
            f"{WHERE}: --size {text} is no width and height.\n"
            "  Fix: inches, such as --size 3.4x2.5"
        ) from error
    return width, height
