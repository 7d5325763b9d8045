"""`--json` of every command: one value of JSON on the output, with the fields of the page."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import cli
from larqlite_zoo import cli as zoo_cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "command_line.md"
# In the order in which one writes what the next one reads.
LINES = (
    "lq quantizers --import noisy",
    "lq summary net.keras",
    "lq plot quantizer ste_sign",
    "lq plot weights net.keras",
    "lq plot history history.csv",
    "lq plot costs net.keras",
    "lq export net.keras net.onnx --no-verify",
    "lq verify net.keras net.onnx --data data.npz --no-stock",
    "lq plot verification verify.json",
    "lq run net.onnx --data data.npz",
    "lq benchmark net.onnx --seconds 0.02 --threads 1",
    "lq plot benchmark benchmark.json",
    "lq explain net.onnx",
    "lq sensitivity float.keras data.npz --widths int8 --samples 8",
    "lq plot sensitivity sensitivity.json",
    "lq search float.keras data.npz 2e9 --widths int8 float --samples 8 --points 2",
    "lq plot search search.json",
    "lq diagnose float.keras data.npz --samples 8 --steps 1",
    "lq plot diagnosis diagnose.json",
    "lq qat float.keras --data data.npz",
    "lq integer insert-rescaling -m float.keras -o scaled.keras --scale 0.5",
    "lq integer quantize -m float.keras --data data.npz -o int.keras",
    "lq integer config -m int.keras -o int.json",
    "lq integer check -m int.keras --data data.npz",
    "lq integer export -m int.keras --to onnx -o int.onnx",
    "lq plot integers int.keras",
    "lq completion bash",
    "lqz list binary_vgg*",
    "lq plot accuracy list.json",
    "lqz card binary_vgg_small",
    "lqz completion zsh",
)
# Those that take longer, and where their data are looked at.
ELSEWHERE = {
    "lq demo": "test_demo.py",
    "lqz train": "zoo/test_cli_runs.py",
    "lqz sweep": "zoo/test_sweep.py",
    "lqz evaluate": "zoo/test_cli_runs.py",
}
PLACES = {"lq": cli._places, "lqz": zoo_cli._places}
COMMANDS = [
    (program, place)
    for program, places in PLACES.items()
    for place in places()
    if not place.commands
]


def _name(line):
    program, *words = line.split()
    found = [place.path for name, place in COMMANDS if name == program]
    return " ".join(
        [program, *max((p for p in found if [*p] == words[: len(p)]), key=len)]
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each line prints with `--json`: on the output, and on the error stream."""
    folder = tmp_path_factory.mktemp("json")
    tf_keras.utils.set_random_seed(0)
    binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    layers = (
        lq.layers.QuantDense(3, **binary, kernel_constraint="weight_clip"),
        tf_keras.layers.Dense(3, activation="relu"),
    )
    for layer, name in zip(layers, ("net", "float"), strict=True):
        inside = [tf_keras.Input((8,)), layer]
        tf_keras.Sequential(inside, name=name).save(folder / f"{name}.keras")
    x = np.random.default_rng(0).integers(0, 255, (40, 8)).astype("uint8")
    np.savez(folder / "data.npz", x=x.astype("float32"))
    (folder / "history.csv").write_text("epoch,loss\n0,2\n1,1\n")
    (folder / "noisy.py").write_text("print('a module that talks')\n")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in LINES:
            program, *words = line.split()
            out, err = io.StringIO(), io.StringIO()
            main = {"lq": cli.main, "lqz": zoo_cli.main}[program]
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main([*words, "--json"])
            found[_name(line)] = out.getvalue(), err.getvalue()
            # Pictures are drawn of what other commands print.
            Path(f"{_name(line).split()[-1]}.json").write_text(out.getvalue())
    return found


def _fields_of_the_page():
    """The fields that the table of the page gives to each command."""
    section = PAGE.read_text().partition("## For programs")[2].partition("\n## ")[0]
    found = {}
    for row in re.findall(r"^\| `(lqz? [^`]+)` \| (.+) \|$", section, re.M):
        own = row[1].partition("without `")[0]
        found[row[0]] = re.findall(r"`(\w+)`", own)
    return found


def test_every_command_has_the_flag_and_is_looked_at():
    for program, place in COMMANDS:
        name = " ".join([program, *place.path])
        assert name in {*map(_name, LINES), *ELSEWHERE}, name
        if name != "lqz train":  # whose flags are those of the recipe
            assert ("--json",) in [flag.names for flag in place.flags], name


def test_every_command_stands_in_the_table_of_the_page():
    names = {" ".join([program, *place.path]) for program, place in COMMANDS}
    assert set(_fields_of_the_page()) == names


@pytest.mark.parametrize("name", [_name(line) for line in LINES])
def test_the_output_is_one_value_with_the_fields_of_the_page(printed, name):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads(printed[name][0], parse_constant=refuse)
    found = found[0] if isinstance(found, list) else found
    page = _fields_of_the_page()
    assert list(found) == page["lqz card" if name == "lqz list" else name]


def test_what_else_is_printed_goes_to_the_error_stream(printed):
    assert "a module that talks" in printed["lq quantizers"][1]
    assert "Integers, layer by layer" in printed["lq integer quantize"][1]
    assert "wrote net_weights.png" in printed["lq plot weights"][1]
