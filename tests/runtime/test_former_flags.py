"""Flags that are called otherwise now: what they meant is kept, and told from what they mean."""

import pytest

from larqlite_runtime import cli
from larqlite_runtime.former_flags import (
    FormerFlag,
    in_present_flags,
    is_no_number,
    is_number,
)

FORMER = [
    FormerFlag("-o", "--bits", is_number),
    FormerFlag("--samples", "--data", is_no_number),
    FormerFlag("--num-samples", "--samples"),
]


@pytest.mark.parametrize(
    ("words", "now"),
    [
        ("-o 4", "--bits 4"),
        ("-o -0.5 1", "--bits -0.5 1"),
        ("-o=4", "--bits=4"),
        ("-o net.onnx", None),
        ("-o ./4", None),
        ("--samples x.npz", "--data x.npz"),
        ("--samples=x.npz", "--data=x.npz"),
        ("--samples 100", None),
        ("--num_samples=7 --samples x.npz", "--samples=7 --data x.npz"),
        ("--num-samples", "--samples"),
        ("--samples", None),
        ("net.keras --data --samples", None),
    ],
)
def test_a_value_tells_what_a_flag_means(words, now, capsys):
    found = in_present_flags("lq do", words.split(), FORMER)
    assert found == (words if now is None else now).split()
    said = capsys.readouterr().err
    assert said.startswith("lq do: ") if now else not said


def test_the_notice_names_both_flags_as_they_are_written(capsys):
    in_present_flags("lq do", ["--num_samples=7"], FORMER)
    assert capsys.readouterr().err == "lq do: --num_samples 7 is --samples 7 now.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("net.onnx --dta x.npz", 'there is no flag --dta. Did you mean "--data"?'),
        ("--dta x", 'there is no flag --dta. Did you mean "--data"?'),
        ("net.onnx --data x.npz --frist 3", "there is no flag --frist."),
        (
            "net.onnx --data x.npz --thr two",
            "argument --threads: invalid int value: 'two'.",
        ),
        ("net.onnx", "the following arguments are required: --data."),
    ],
)
def test_a_flag_that_there_is_not_is_what_the_message_says(words, said):
    with pytest.raises(ValueError, match="lq run") as mistake:
        cli.parse(words.split())
    assert str(mistake.value) == f"lq run: {said}\n  Fix: lq run --help"
