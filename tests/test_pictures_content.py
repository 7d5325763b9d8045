"""What is drawn of runs, costs, accuracies and reports is what was given."""

from __future__ import annotations

import csv
import itertools
import json
import struct

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import larqlite as lq
import larqlite_zoo
from larqlite import plot
from larqlite.errors import ArgumentError
from larqlite.integer.models import DataReport, IntegerLayerReport
from larqlite_runtime.benchmark_result import Benchmark, Timing
from tests.common.pictures import OTHER, RUN, luminance


class TestRuns:
    def test_two_runs_are_drawn_into_the_same_pictures(self, tmp_path):
        files = []
        for name, run in (("binary", RUN), ("float", OTHER)):
            file = tmp_path / name / "history.csv"
            file.parent.mkdir()
            with file.open("w", newline="") as stream:
                rows = csv.writer(stream)
                rows.writerow(["epoch", *run])
                rows.writerows(
                    [n, *row] for n, row in enumerate(zip(*run.values(), strict=True))
                )
            files.append(file)
        figure = plot.history(files)
        assert [ax.get_title() for ax in figure.axes] == [
            "loss",
            "accuracy",
            "flip ratio",
        ]
        drawn = {
            line.get_label(): line.get_ydata().tolist()
            for ax in figure.axes[::2]
            for line in ax.lines
        }
        assert drawn["binary, validation"] == RUN["val_loss"]
        assert drawn["float, block/conv"] == OTHER["flip_ratio/block/conv"]
        (legend,) = figure.legends
        words = [text.get_text() for text in legend.get_texts()]
        assert words == ["binary", "float", "training", "validation"]
        labels = plot.history(files, labels=["1 bit", "32 bits"]).legends[0].get_texts()
        assert [text.get_text() for text in labels][:2] == ["1 bit", "32 bits"]

    def test_runs_by_name_and_one_that_lacks_a_curve(self):
        figure = plot.history({"a": RUN, "b": {"loss": [1.0, 0.5, 0.4]}})
        assert [len(ax.lines) for ax in figure.axes] == [3, 1, 2]

    def test_as_many_labels_as_runs_are_needed(self):
        with pytest.raises(ArgumentError, match="1 labels for 2 runs"):
            plot.history([RUN, OTHER], labels=["one"])

    def test_the_time_is_no_picture_unless_it_is_asked_for(self):
        (ax,) = plot.history(RUN, curves=["seconds"]).axes
        assert ax.lines[0].get_ydata().tolist() == RUN["seconds"]
        with pytest.raises(
            ArgumentError, match=r'no curve "los".* Did you mean "loss"'
        ):
            plot.history(RUN, curves=["los"])

    def test_one_epoch_is_dots_with_their_numbers_and_one_tick(self):
        figure = plot.history(
            {"loss": [1.25], "accuracy": [0.5], "val_accuracy": [0.4]}
        )
        loss, accuracy = figure.axes
        assert loss.get_xticks().tolist() == [1]
        assert [text.get_text() for text in loss.texts] == ["1.25"]
        assert [text.get_text() for text in accuracy.texts] == ["50", "40"]
        assert accuracy.get_ylabel() == "accuracy (%)"

    def test_a_layer_that_no_longer_flips_leaves_the_others_a_logarithmic_axis(self):
        flips = plot.history(RUN).axes[-1]
        assert flips.get_yscale() == "log"
        assert [t.get_text() for t in flips.get_legend().get_texts()] == [
            "block/conv",
            "dense",
        ]

    def test_histories_of_older_runs_have_their_names_in_the_legend(self):
        old = {"flip_ratio/ste_sign_2": [0.1, 0.2], "flip_ratio/ste_sign_3": [0.1, 0.3]}
        (flips,) = plot.history(old).axes
        assert [line.get_label() for line in flips.lines] == [
            "ste_sign_2",
            "ste_sign_3",
        ]

    def test_many_layers_go_from_dark_to_light(self):
        flips = {f"flip_ratio/conv_{n}": [0.1, 0.01 * (n + 1)] for n in range(9)}
        (ax,) = plot.history(flips).axes
        shades = [luminance(to_rgb(line.get_color())) for line in ax.lines]
        assert shades == sorted(shades)


@pytest.fixture(scope="module")
def profile():
    import tf_keras

    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 3)),
            tf_keras.layers.Conv2D(4, 3, name="stem"),
            lq.layers.QuantConv2D(
                8,
                3,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                name="binary",
            ),
            tf_keras.layers.Flatten(name="flat"),
        ]
    )
    return lq.models.profile(model)


class TestCosts:
    def test_the_bars_are_the_bytes_and_products_counted_by_hand(self, profile):
        left, right = plot.costs(profile).axes
        assert [text.get_text() for text in left.get_yticklabels()] == [
            "stem",
            "binary",
        ]
        widths = lambda ax: {  # noqa: E731
            bars.get_label(): [bar.get_width() for bar in bars]
            for bars in ax.containers
        }
        kernel = 3 * 3 * 4 * 8
        assert widths(left) == {
            "1 bit": [0, kernel // 8],
            "32 bits": [4 * (3 * 3 * 3 * 4 + 4), 0],
        }
        assert widths(right) == {
            "1 bit": [0, kernel * 2 * 2],
            "32 bits": [3 * 3 * 3 * 4 * 4 * 4, 0],
        }
        assert [text.get_text() for text in left.texts] == ["448 B", "36 B"]

    def test_a_model_that_costs_nothing_is_refused_by_name(self):
        import tf_keras

        model = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Flatten()])
        with pytest.raises(ArgumentError, match=f'no layer of "{model.name}"'):
            plot.costs(model)


class TestAccuracy:
    def test_the_zoo_is_drawn_from_its_cards(self):
        cards = [larqlite_zoo.card(name) for name in larqlite_zoo.list_models()]
        with pytest.raises(ArgumentError, match=r'(?s)datasets.*dataset="'):
            plot.accuracy(cards)
        (ax,) = plot.accuracy(cards, dataset="imagenet").axes
        dots = [line for line in ax.lines if line.get_linestyle() == "None"]
        drawn = {tuple(xy) for line in dots for xy in line.get_xydata().tolist()}
        wanted = {
            (float(card.costs.deployed_bytes), row.top1)
            for card in cards
            for row in card.published
            if row.dataset == "imagenet"
        }
        assert drawn <= wanted
        assert len(drawn) >= len({bytes_ for bytes_, _ in wanted}) > 5
        names = {text.get_text() for text in ax.texts} - {""}
        assert "quicknet" in names
        assert ax.get_title() == "accuracy on ImageNet against size"

    def test_a_csv_of_results_and_rows_as_json_give_the_same_points(self, tmp_path):
        rows = [("a", 1000, 90.0), ("b", 4000, 92.0), ("c", 5000, 91.0)]
        table = tmp_path / "rows.csv"
        with table.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerows([("model", "deployed_bytes", "top1"), *rows])
        dump = tmp_path / "rows.json"
        shares = [{"name": n, "bytes": b, "accuracy": t / 100} for n, b, t in rows]
        dump.write_text(json.dumps(shares))
        by_name = {name: (bytes_, top1) for name, bytes_, top1 in rows}
        for given in (table, str(dump), by_name):
            (ax,) = plot.accuracy(given).axes
            dots, best = ax.lines
            np.testing.assert_allclose(dots.get_xydata(), [row[1:] for row in rows])
            np.testing.assert_allclose(best.get_xydata(), [(1000, 90), (4000, 92)])

    def test_names_do_not_cover_each_other_where_there_is_room(self):
        rng = np.random.default_rng(0)
        points = {
            f"net_{n}": (rng.uniform(1e6, 9e6), rng.uniform(50, 70)) for n in range(12)
        }
        figure = plot.accuracy(points, size=(8, 6))
        figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
        assert len(boxes) == 12
        assert not [
            (a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)
        ]

    def test_a_share_is_a_share_in_a_table_that_has_percents_too(self):
        rows = [
            {"name": "a", "bytes": 9, "top1": "", "accuracy": 0.9},
            {"name": "b", "bytes": 9, "top1": 0.5, "accuracy": ""},
        ]
        (ax,) = plot.accuracy(rows).axes
        heights = sorted(y for line in ax.lines for y in line.get_ydata())
        assert heights[0] == 0.5
        assert heights[-1] == 90

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("no.csv", r'"no\.csv": there is no such file'),
            ({"a": 3}, r'"a" is 3, not \(bytes, accuracy\)'),
            ([{"name": "a", "top1": 3}], "a row has no bytes or deployed_bytes"),
            ([{"name": "a", "bytes": "many", "top1": 3}], "bytes is 'many'"),
            ([], "there is no accuracy in it"),
            (3, "got int"),
        ],
    )
    def test_what_holds_no_results_is_refused(self, given, message):
        with pytest.raises(ArgumentError, match=f"(?s){message}.*Fix:"):
            plot.accuracy(given)


class TestReports:
    @pytest.mark.parametrize("draw", [plot.verification, plot.benchmark])
    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("none.json", None, "there is no such file"),
            ("cut.json", "{", "not a .json file"),
            ("figures.txt", "{}", 'cannot read ".txt" files'),
            ("other.json", "{}", "it is no (verification|benchmark) of a file"),
        ],
    )
    def test_a_file_that_holds_no_figures_is_refused(
        self, tmp_path, draw, name, content, says
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(ArgumentError, match=f"{name}.*{says}(?s:.*)Fix: .*--json"):
            draw(tmp_path / name)

    def test_integers_shows_needed_bits_against_those_there_are(self):
        report = DataReport(
            [
                IntegerLayerReport("conv", "Conv", 8, {"k": 8}, 20, 28, (-3, -1), 8),
                IntegerLayerReport(
                    "wide", "Conv", 8, {"k": 8}, 30, 28, None, 8, saturated=7
                ),
                IntegerLayerReport("flat", "Flatten", 8, {}, None, None, None, 8),
            ]
        )
        (ax,) = plot.integers(report).axes
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == ["conv", "wide", "flat"]
        widths = {
            bars.get_label(): [b.get_width() for b in bars] for bars in ax.containers
        }
        assert widths == {"accumulator needs": [20], "may saturate": [30]}
        (has,) = ax.collections
        assert [line[0][0] for line in has.get_segments()] == [28, 28]
        assert [text.get_text() for text in ax.texts] == ["7 saturated"]

    def test_a_verification_is_drawn_from_what_the_command_prints(self, tmp_path):
        flips = {"values": 200, "different": 3}
        rows = [
            {"layer": "conv", "ok": True, "run_flips": flips},
            {"layer": "bad", "ok": False, "run_flips": flips},
            {"layer": "float", "ok": True, "run_flips": None},
        ]
        file = tmp_path / "found.json"
        file.write_text(json.dumps({"name": "net", "samples": 9, "layers": rows}))
        (ax,) = plot.verification(file).axes
        assert [bar.get_width() for bar in ax.patches] == [1.5, 1.5, 0]
        assert [text.get_text() for text in ax.texts] == [
            "3 of 200",
            "3 of 200: WRONG given its input",
            "not quantized",
        ]
        file.write_text("{}")
        with pytest.raises(ArgumentError, match="it is no verification"):
            plot.verification(file)

    def test_a_benchmark_says_how_many_times_as_long_the_others_take(self, tmp_path):
        timings = (
            Timing("larqlite", "", 0.002, 0.0019, 0.0022, 9, 0.0),
            Timing("onnxruntime", "", 0.0114, 0.011, 0.012, 9, 1e-6),
        )
        result = Benchmark("runs/net.onnx", 1000, 1, 2, "avx2", timings, None)
        (ax,) = plot.benchmark(result).axes
        assert [bar.get_width() for bar in ax.patches] == pytest.approx([2.0, 11.4])
        said = [text.get_text() for text in ax.texts]
        assert said == ["2.00 ms", "11.4 ms, 5.7 times as long"]
        assert ax.get_title() == "net.onnx, batch 1, 2 threads"
        result.plot(tmp_path / "a.png", size=(4, 2), dpi=100, title="mine")
        assert struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24]) == (
            400,
            200,
        )
        with pytest.raises(ArgumentError, match="it is no benchmark"):
            plot.benchmark({"timings": []})
