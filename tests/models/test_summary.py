"""The printed summary: Larq's figures where Larq is right, nothing cut, nothing bare."""

from __future__ import annotations

import functools
import json
import logging
import re
from pathlib import Path

import pytest
import tf_keras

import larqlite as lq
from larqlite.models._profile_tables import readable
from tests.models.larq_networks import NETWORKS

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "larq_summaries.json").read_text()
)["summaries"]
LARQ_COUNTS_BATCH_NORMALIZATION_AS_FROZEN = ("Trainable params", "Non-trainable params")


@functools.cache
def printed_network(network) -> tuple[str, str]:
    """Of one of Larq's networks."""
    return printed(network(lq, tf_keras))


def printed(model, **options) -> tuple[str, str]:
    texts: list[str] = []
    lq.models.summary(model, print_fn=texts.append, **options)
    stats, totals = texts
    return stats, totals


def cells(table: str) -> list[list[str]]:
    lines = [line.strip("|").strip() for line in table.splitlines() if line[0] == "|"]
    return [re.split(r"\s{2,}", line) for line in lines]


def stats_rows(stats: str) -> list[dict[str, str]]:
    _, columns, *rows, _ = cells(stats)
    titles = _titles(stats, len(columns))
    return [dict(zip(titles, row, strict=True)) for row in rows]


def _titles(stats: str, columns: int) -> list[str]:
    upper, lower = cells(stats)[:2]
    long = [title for title in lower if title.endswith("MACs")]
    titles = ["Layer", upper[0], "Outputs", *upper[1:], *long]
    assert len(titles) == columns
    return titles


def small_model() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            lq.layers.QuantDense(
                8,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                input_shape=(16,),
                name="binary",
            ),
            tf_keras.layers.BatchNormalization(name="norm"),
            tf_keras.layers.Dense(4, name="classifier"),
        ],
        name="small",
    )


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_every_row_shows_the_figures_that_larq_prints(network):
    golden = GOLDEN[network.__name__]
    rows = stats_rows(printed_network(network)[0])
    assert len(rows) == len(golden["rows"])
    for ours, larqs in zip(rows, golden["rows"], strict=True):
        assert list(ours) == list(larqs)
        layer = larqs.pop("Layer")
        assert _without_number(ours.pop("Layer")) == _without_number(layer)
        for column, cell in larqs.items():
            # Larq knows few kinds of layers; where it prints "?" we count 0.
            assert ours[column] == ("0" if cell == "?" else cell), (layer, column)


def _without_number(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_the_totals_are_those_that_larq_prints(network):
    golden = GOLDEN[network.__name__]
    stats, totals = printed_network(network)
    assert cells(stats)[-1] == golden["total"]
    ours = dict(cells(totals))
    for name, value in golden["totals"].items():
        if name not in LARQ_COUNTS_BATCH_NORMALIZATION_AS_FROZEN:
            assert ours[name] == value, name


def test_scale_and_offset_of_a_batch_normalization_are_trainable_unlike_in_larq():
    # vgg: 8 + 16 + 24 channels, two numbers each; gamma missing in the first two.
    larqs = GOLDEN["vgg"]["totals"]
    assert larqs["Non-trainable params"] == str(2 * (8 + 16 + 24))
    ours = dict(cells(printed_network(NETWORKS[0])[1]))
    assert ours["Non-trainable params"] == str(8 + 16)


@pytest.mark.parametrize(
    ("number", "text"),
    # What Larq prints as "Number of MACs" of a 1x1 convolution over so many pixels.
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1 k"),
        (1005, "1 k"),
        (1015, "1.02 k"),
        (9994, "9.99 k"),
        (9995, "10 k"),
        (99949, "99.9 k"),
        (99950, "100 k"),
        (999499, "999 k"),
        (999500, "1 M"),
        (1234567, "1.23 M"),
        (10**9, "1 B"),
        (10**12, "1 T"),
        (123456789 * 10**6, "123 T"),
        (999 * 10**12, "999 T"),
        (999999990000000, "1.00E+15"),
        (12345678900000000, "1.23E+16"),
    ],
)
def test_large_numbers_read_as_larq_prints_them(number, text):
    assert readable(number) == text


def test_print_fn_is_called_once_with_each_table():
    stats, totals = printed(small_model())
    assert stats.startswith("small stats\n+--")
    assert totals.startswith("small summary\n+--")
    # 16 * 8 = 128 binary MACs and as many weights; 8 * 4 = 32 float MACs.
    assert cells(stats)[-1] == ["Total", "128", "60", "0.25", "128", "32"]
    lines = dict(cells(totals))
    assert lines["Total params"] == "188"
    assert lines["Params as trained by Keras"] == "204"  # 16 more: moving statistics
    assert lines["Deployed weights (packed)"] == "256 B"  # 128 / 8 + 60 * 4
    assert lines["BOPs (1-bit x 1-bit MACs)"] == "128"
    assert lines["FLOPs (all other MACs)"] == "32"
    assert lines["OPs (BOPs / 64 + FLOPs)"] == "34"
    assert lines["ACE (MACs x weight bits x input bits)"] == readable(
        128 + 32 * 32 * 32
    )


def test_without_macs_there_are_no_columns_lines_or_footnotes_about_them():
    model = tf_keras.Sequential(
        [*small_model().layers, tf_keras.layers.Lambda(lambda x: x)], name="small"
    )
    model.build((None, 16))
    assert "MACs" in "".join(printed(model))
    stats, totals = printed(model, include_macs=False)
    assert not re.search("MAC|OPs|ACE|Lambda layer", stats + totals)
    assert cells(stats)[-1] == ["Total", "128", "60", "0.25"]
    assert dict(cells(totals))["Model size"] == "256.00 B"


def test_every_question_mark_has_a_footnote_that_says_why():
    inputs = tf_keras.Input((None, None, 3))
    x = tf_keras.layers.Conv2D(4, 3, name="open")(inputs)
    outputs = tf_keras.layers.Lambda(lambda t: 2 * t, name="anything")(x)
    stats, totals = printed(tf_keras.Model(inputs, outputs))
    rows = {row["Layer"]: row for row in stats_rows(stats)}
    assert rows["open"]["Outputs"] == "(-1, ?, ?, 4) [1]"
    assert rows["open"]["32-bit MACs"] == "? [2]"
    assert rows["anything"]["32-bit MACs"] == "? [3]"
    notes = dict(re.findall(r"^\[(\d)\] (.*)$", stats, re.MULTILINE))
    assert "input_shape" in notes["1"]
    assert "sizes that the model leaves open" in notes["2"]
    assert "Lambda layer may compute anything" in notes["3"]
    assert "without 2 unknown" in dict(cells(totals))["Number of MACs"]


def test_several_outputs_are_shown_as_a_list():
    inputs = tf_keras.Input((7, 3))
    outputs = tf_keras.layers.LSTM(4, return_state=True, name="lstm")(inputs)
    rows = stats_rows(printed(tf_keras.Model(inputs, outputs))[0])
    assert rows[1]["Outputs"] == "[(-1, 4), (-1, 4), (-1, 4)]"


def test_sizes_given_to_the_summary_resolve_the_question_marks():
    inputs = tf_keras.Input((None, None, 3))
    model = tf_keras.Model(inputs, tf_keras.layers.Conv2D(4, 3)(inputs))
    stats, totals = printed(model, input_shape=(None, 10, 12, 3))
    assert "?" not in stats + totals
    # 3 * 3 * 3 * 4 weights at 8 * 10 positions.
    assert dict(cells(totals))["Number of MACs"] == readable(108 * 80)


def test_a_pipe_gets_every_column_in_full(run_fork):
    code = """
        import os, sys
        os.environ["COLUMNS"] = "40"
        sys.stdout.reconfigure(encoding="ascii", errors="strict")
        import tf_keras, larqlite as lq
        name = "a_name_that_is_much_longer_than_what_a_narrow_terminal_can_hold" * 2
        layers = [tf_keras.layers.Dense(3, input_shape=(4,), name=name)]
        lq.models.summary(tf_keras.Sequential(layers, name="piped"))
    """
    output = run_fork(code)
    lines = output.splitlines()
    frame = [line for line in lines if line.startswith("|")]
    assert any("can_hold" in line and line.rstrip().endswith("12 |") for line in frame)
    assert "…" not in output
    assert "\x1b" not in output


def test_the_standard_output_shows_what_print_fn_gets(capsys):
    model = small_model()
    lq.models.summary(model)
    shown = capsys.readouterr().out
    expected = "\n".join(printed(model))
    assert [line.rstrip() for line in shown.splitlines()] == [
        line.rstrip() for line in expected.splitlines()
    ]


def test_print_fn_gets_plain_text_even_where_colours_are_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in "".join(printed(small_model()))


def test_a_logger_serves_as_print_fn(caplog):
    with caplog.at_level(logging.INFO):
        lq.models.summary(small_model(), print_fn=logging.info)
    assert [record.message.split("\n")[0].strip() for record in caplog.records] == [
        "small stats",
        "small summary",
    ]


def test_the_summary_returns_the_profile_and_shows_it_in_one_line():
    costs = lq.models.summary(small_model(), print_fn=lambda text: None)
    assert costs == lq.models.profile(small_model())
    assert (
        repr(costs)
        == '<ModelProfile "small": 3 layers, 188 params, 256.00 B, 160 MACs>'
    )


def test_markdown_holds_both_tables_and_the_footnotes():
    model = tf_keras.Sequential(
        [tf_keras.layers.Lambda(lambda x: x, input_shape=(3,), name="any_thing")],
        name="mark_down",
    )
    text = lq.models.profile(model).to_markdown()
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("| Layer"))
    assert header.count("|") == lines[lines.index(header) + 1].count("|")
    assert "| any\\_thing | - | (-1, 3) | 0 | ? [1] |" in lines
    assert any(line.startswith("[1] MACs unknown: a Lambda layer") for line in lines)
    assert "### mark\\_down summary" in lines
    assert "MAC" not in lq.models.profile(model).to_markdown(include_macs=False)


def test_square_brackets_in_names_are_shown_as_they_are():
    inputs = tf_keras.Input((2,), name="x")
    model = tf_keras.Model(inputs, inputs, name="[red]net[/red]")
    assert printed(model)[0].startswith("[red]net[/red] stats")
