"""Pictures for papers: size, fonts, colours, files."""

from __future__ import annotations

import base64
import colorsys
import io
import itertools
import re
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from larqlite import plot
from larqlite.errors import ArgumentError
from larqlite_runtime import pictures
from tests.common.pictures import OTHER, RUN, luminance, texts


def contrast(one, other) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One picture as .svg and as .pdf."""
    folder = tmp_path_factory.mktemp("pictures")
    figure = plot.history(RUN, path=folder / "a.svg", title="A & B", size=(10, 2))
    figure.savefig(folder / "a.pdf")
    return folder


class TestFiles:
    def test_a_png_has_as_many_pixels_as_inches_times_dpi(self, tmp_path):
        path = tmp_path / "a.png"
        plot.history({"loss": [2, 1]}, path=path, size=(3.5, 2.25), dpi=240)
        content = path.read_bytes()
        assert struct.unpack(">II", content[16:24]) == (840, 540)
        place = content.index(b"pHYs")
        per_metre = struct.unpack(">II", content[place + 4 : place + 12])
        assert np.allclose(np.array(per_metre) * 0.0254, 240, rtol=1e-3)

    def test_letters_are_smaller_where_there_is_less_room(self):
        wide, narrow = plot.history(RUN), plot.history(RUN, size=(6.3, 2.4))
        for of in (
            lambda ax: ax.title,
            lambda ax: ax.get_yticklabels()[0],
            lambda ax: ax.xaxis.label,
        ):
            sizes = [of(figure.axes[0]).get_fontsize() for figure in (wide, narrow)]
            assert sizes[1] == pytest.approx(0.65 * sizes[0])

    def test_the_graphs_of_a_narrow_picture_stand_one_above_another(self):
        figure = plot.history({"loss": [2, 1], "mae": [2, 1]}, size=(3, 5))
        above, below = (ax.get_subplotspec() for ax in figure.axes)
        assert (above.rowspan.start, below.rowspan.start) == (0, 1)

    def test_a_svg_and_a_pdf_are_as_large_as_they_were_asked_to_be(self, files):
        root = ElementTree.parse(files / "a.svg").getroot()
        assert (root.get("width"), root.get("height")) == ("720pt", "144pt")
        assert b"/MediaBox [ 0 0 720 144 ]" in (files / "a.pdf").read_bytes()

    def test_the_text_of_a_svg_is_text_in_words(self, files):
        found = texts((files / "a.svg").read_text(encoding="utf-8"))
        for word in ("A & B", "loss", "training", "validation", "epoch", "block/conv"):
            assert word in found
        assert "weights that flip in a step" in found
        assert not [text for text in found if "_" in text]

    def test_the_letters_of_a_svg_are_embedded(self, files):
        svg = (files / "a.svg").read_text(encoding="utf-8")
        rules = re.findall(r"@font-face \{font-family: '(.*?)'.*?base64,(.*?)\)", svg)
        letters: dict[str, set[int]] = {}
        for family, data in rules:
            font = TTFont(io.BytesIO(base64.b64decode(data)))
            letters.setdefault(family, set()).update(font.getBestCmap())
        assert "DejaVu Sans" in letters
        assert {ord(c) for text in texts(svg) for c in text if c != "\n"} <= letters[
            "DejaVu Sans"
        ]
        assert len(svg) < 60_000

    def test_the_fonts_of_a_pdf_are_truetype_and_embedded(self, files):
        content = (files / "a.pdf").read_bytes()
        assert b"/Type3" not in content
        assert b"/FontFile2" in content
        assert re.search(rb"/BaseFont /[A-Z]{6}\+DejaVuSans", content)

    @pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
    def test_the_same_picture_is_the_same_file(self, suffix, tmp_path):
        for name in ("a", "b"):
            plot.history({"loss": [2, 1]}, path=tmp_path / f"{name}.{suffix}")
        a, b = (tmp_path / f"{name}.{suffix}" for name in ("a", "b"))
        assert a.read_bytes() == b.read_bytes()

    def test_savefig_of_the_figure_writes_as_path_does(self, tmp_path):
        plot.history({"loss": [2, 1]}, path=tmp_path / "a.svg")
        plot.history({"loss": [2, 1]}).savefig(tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()

    def test_the_settings_of_matplotlib_are_as_before(self):
        import matplotlib as mpl

        before = dict(mpl.rcParams)
        plot.history({"loss": [2, 1]}, theme="dark")._repr_png_()
        assert dict(mpl.rcParams) == before

    def test_a_transparent_picture_has_no_background(self, tmp_path):
        from matplotlib.image import imread

        path = tmp_path / "a.png"
        plot.history({"loss": [2, 1]}, path=path, transparent=True)
        image = imread(path)
        assert image[0, 0, 3] == 0
        assert image[..., 3].max() == 1

    @pytest.mark.parametrize(
        ("look", "message"),
        [
            ({"size": (0.1, 3)}, r"size=\(0.1, 3\) is no size"),
            ({"size": 3}, "size=3 is no size"),
            ({"dpi": 0}, "dpi=0 is out of range"),
            ({"dpi": "high"}, "dpi='high' is out of range"),
            ({"size": (100, 100), "dpi": 1000}, "which matplotlib cannot draw"),
            ({"theme": "grey"}, r'no theme "grey"'),
        ],
    )
    def test_a_look_that_cannot_be_is_refused_before_a_file_is_made(
        self, look, message, tmp_path
    ):
        with pytest.raises(
            ArgumentError, match=f"(?s)lq.plot.history: .*{message}.*Fix:"
        ):
            plot.history(RUN, path=tmp_path / "new" / "a.png", **look)
        assert not list(tmp_path.iterdir())

    def test_an_unknown_argument_is_named_with_the_near_one(self):
        with pytest.raises(TypeError, match=r'"tilte".* Did you mean "title"'):
            plot.history(RUN, tilte="a")

    def test_the_figure_of_the_user_keeps_its_look(self):
        axes = Figure().subplots(1, 2)
        with pytest.raises(ArgumentError, match="title and theme cannot be set"):
            plot.quantizer("ste_sign", axes=axes, title="a", theme="dark")


class TestColors:
    def test_the_first_curves_differ_in_print_without_colours(self):
        lightness = [
            luminance(to_rgb(color)) ** (1 / 2.2) for color in pictures.COLORS[:3]
        ]
        gaps = [abs(a - b) for a, b in itertools.combinations(lightness, 2)]
        assert min(gaps) > 0.15

    def test_all_curves_of_one_picture_differ_in_dashes_or_markers(self):
        drawn = [pictures.style(number)[1:] for number in range(6)]
        assert len(set(map(str, drawn))) == 6
        assert len({str(pictures.style(number)) for number in range(36)}) == 36

    @pytest.mark.parametrize(
        "seen",  # linear RGB as dichromats see it: Vienot, Brettel and Mollon 1999
        [
            [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
            [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        ],
        ids=["protanopia", "deuteranopia"],
    )
    def test_the_first_colours_differ_for_eyes_that_do_not_tell_red_from_green(
        self, seen
    ):
        linear = [np.array(to_rgb(color)) ** 2.2 for color in pictures.COLORS[:3]]
        found = [np.clip(np.array(seen) @ color, 0, 1) ** (1 / 2.2) for color in linear]
        for a, b in itertools.combinations(found, 2):
            assert np.linalg.norm(a - b) > 0.25

    def test_what_is_written_on_a_dark_page_can_be_read(self, tmp_path):
        figure = plot.history({"a": RUN, "b": OTHER}, theme="dark")
        back = to_rgb(figure.get_facecolor())
        assert luminance(back) < 0.02
        for ax in figure.axes:
            assert to_rgb(ax.get_facecolor()) == back
            words = [
                ax.title,
                ax.xaxis.label,
                *ax.get_xticklabels(),
                *ax.get_yticklabels(),
            ]
            for text in words:
                assert contrast(to_rgb(text.get_color()), back) > 7
            for line in ax.lines:
                assert contrast(to_rgb(line.get_color()), back) > 4.5

    def test_a_colour_keeps_its_hue_in_the_dark(self):
        light, dark = (plot.history({"loss": [2, 1]}, theme=t) for t in pictures.THEMES)
        hues = [
            colorsys.rgb_to_hls(*to_rgb(figure.axes[0].lines[0].get_color()))[0]
            for figure in (light, dark)
        ]
        assert hues[0] == pytest.approx(hues[1], abs=0.01)
