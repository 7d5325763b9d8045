"""Draws what a shared link to the site shows: the first picture's figures, as a PNG.

`make first-picture` calls it. Places that show links take no SVG, and cut everything but
1200x630 pixels. The file says in words what it shows, so that a test can tell whether it is
of the present figures.
"""

from __future__ import annotations

from pathlib import Path

from . import first_picture
from .first_picture import bytes_in_words, in_a_sentence, times

NAME = "first_network_light.png"
WIDTH, HEIGHT, DOTS_PER_INCH = 1200, 630, 100
ROW_TOP, ROW_HEIGHT = 268, 92
FORM_X, BITS_X, BYTES_X, TIME_X = 216, 250, 500, 856
BAR_LENGTH, BAR_HEIGHT = 190, 34
SQUARE, SQUARES_A_ROW = 11, 16


def draw(figures: dict, path: Path) -> None:
    """Writes the picture.

    Args:
        figures: what `first_network.py` measured.
        path: of the PNG file.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = first_picture.THEMES["light"]
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure((WIDTH / DOTS_PER_INCH, HEIGHT / DOTS_PER_INCH))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        axes.set_axis_off()

        def text(x, y, words, colour=colours.text, pixels=22, **how):
            points = pixels * 72 / DOTS_PER_INCH
            axes.text(x, y, words, color=colour, fontsize=points, va="center", **how)

        def box(x, y, width, height, colour):
            axes.add_patch(
                mpl.patches.Rectangle((x, y), width, height, color=colour, lw=0)
            )

        text(60, 78, "larqlite", pixels=60, weight="bold")
        text(
            62,
            138,
            "networks of 1 to 8 bits in Keras, run from packed bits",
            colours.faint,
            pixels=27,
        )
        for x, heading in (
            (BITS_X, "bits of a weight"),
            (BYTES_X, "bytes of the file"),
            (TIME_X, "milliseconds for an image"),
        ):
            text(x, 226, heading, colours.faint)
        rows = figures["forms"]
        most = {key: max(row[key] for row in rows) for key in ("bytes", "milliseconds")}
        for number, (row, colour) in enumerate(zip(rows, colours.rows, strict=True)):
            top = ROW_TOP + number * ROW_HEIGHT
            middle = top + BAR_HEIGHT / 2
            text(FORM_X, middle, row["form"], weight="bold", ha="right", pixels=26)
            for bit in range(row["bits"]):
                down, across = divmod(bit, SQUARES_A_ROW)
                step = SQUARE + 2
                box(
                    BITS_X + across * step,
                    top + 5 + down * step,
                    *2 * (SQUARE,),
                    colour,
                )
            for x, key, words, factor in (
                (BYTES_X, "bytes", bytes_in_words(row["bytes"]), "× smaller"),
                (
                    TIME_X,
                    "milliseconds",
                    f"{row['milliseconds']:.3f} ms",
                    "× faster",
                ),
            ):
                length = max(3.0, BAR_LENGTH * row[key] / most[key])
                box(x, top, length, BAR_HEIGHT, colour)
                text(x + length + 10, middle, words)
                if row is rows[-1]:
                    digits = 0 if key == "bytes" else 1
                    times_less = f"{times(figures, key):.{digits}f}{factor}"
                    text(x, top + 62, times_less, colour, weight="bold", pixels=28)
        notes = ". ".join(first_picture.notes(figures))
        text(60, HEIGHT - 40, notes, colours.faint, pixels=17)
        figure.savefig(
            path,
            dpi=DOTS_PER_INCH,
            metadata={"Description": in_a_sentence(figures), "Software": None},
        )
