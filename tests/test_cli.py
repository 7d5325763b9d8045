"""The command `lq`: what it prints and writes, and how it answers a mistake."""

import json
import re
import struct
import sys
import typing

import pytest
import tf_keras

import larqlite as lq
from larqlite import cli
from larqlite_runtime import cli as runtime_cli
from larqlite_zoo import cli as zoo_cli

PNG = b"\x89PNG"


@pytest.fixture
def lq_command(capsys, tmp_path, monkeypatch):
    """Runs `lq ARGUMENTS` in this process, in `tmp_path`; gives back what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments):
        cli.main(arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(lq_command, capsys):
    """Runs `lq ARGUMENTS`, which must exit with 2 and no output; gives back stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            lq_command(*arguments)
        captured = capsys.readouterr()
        assert exit_.value.code == 2
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err

    return run


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            lq.layers.QuantConv2D(
                4,
                3,
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                name="conv",
            ),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(2, name="dense"),
        ],
        name="tiny",
    )
    path = tmp_path_factory.mktemp("models") / "tiny.keras"
    model.save(path)
    return path


def test_quantizers_lists_every_name_with_its_class_and_bits(lq_command):
    rows = [line.split() for line in lq_command("quantizers").splitlines()]
    for name in lq.quantizers.names():
        quantizer = lq.quantizers.get(name)
        bits = "-" if quantizer.precision is None else str(quantizer.precision)
        assert [name, type(quantizer).__name__, bits] in [row[:3] for row in rows]


def test_quantizers_as_json_have_the_values_at_five_points(lq_command):
    rows = {row["name"]: row for row in json.loads(lq_command("quantizers", "--json"))}
    assert rows["ste_tern"]["values"] == [-1, -1, 0, 1, 1]
    assert rows["ste_heaviside"]["values"] == [0, 0, 0, 1, 1]
    assert rows["ste_tern"]["precision"] == 2
    assert rows["ste_sign"]["class"] == "SteSign"
    assert "dorefa_quantizer" in rows["dorefa"]["aliases"]
    assert rows[None]["class"] == "NoOp"
    assert rows[None]["values"] is None


def test_quantizers_of_ones_own_module_are_listed_too(lq_command, tmp_path):
    (tmp_path / "lq_test_module.py").write_text(
        "import larqlite as lq, tensorflow as tf\n"
        "@lq.quantizers.register('from_a_module')\n"
        "class FromAModule(lq.quantizers.Quantizer):\n"
        "    '''Rounds.'''\n"
        "    precision = 4\n"
        "    def forward(self, x): return tf.round(x)\n"
        "    def derivative(self, x): return tf.ones_like(x)\n"
    )
    printed = lq_command("quantizers", "--import", "lq_test_module")
    assert re.search(r"from_a_module +FromAModule +4 +-1 -0 0 0 1\n +Rounds\.", printed)


def test_summary_prints_the_layers_of_a_saved_model(lq_command, saved_model):
    printed = lq_command("summary", str(saved_model))
    # 9 * 4 binary weights on 6 * 6 pixels
    assert re.search(r"conv .* 36 ", printed)
    assert "1296" in printed
    assert "MACs" in printed


def test_summary_leaves_out_macs_when_asked_to(lq_command, saved_model):
    printed = lq_command("summary", str(saved_model), "--no-macs")
    assert "conv" in printed
    assert "MACs" not in printed


def test_summary_as_json_equals_the_profile(lq_command, saved_model):
    printed = json.loads(lq_command("summary", str(saved_model), "--json"))
    expected = lq.models.profile(tf_keras.models.load_model(saved_model)).to_dict()
    assert printed == json.loads(json.dumps(expected))


@pytest.mark.parametrize("suffix", ["h5", "tf"])
def test_summary_reads_other_formats(lq_command, saved_model, tmp_path, suffix):
    path = tmp_path / ("model.h5" if suffix == "h5" else "folder")
    tf_keras.models.load_model(saved_model).save(path, save_format=suffix)
    printed = json.loads(lq_command("summary", str(path), "--json"))
    # 36 binary weights, and 6 * 6 * 4 * 2 + 2 float ones
    assert printed["memory_bits"] == 36 + 32 * 290
    assert printed["macs"] == [
        {"weight_bits": 1, "input_bits": 32, "count": 36 * 36},
        {"weight_bits": 32, "input_bits": 32, "count": 144 * 2},
    ]


def test_plot_quantizer_writes_a_picture_named_after_it(lq_command, tmp_path):
    assert lq_command("plot", "quantizer", "swish_sign") == "wrote swish_sign.png\n"
    assert (tmp_path / "swish_sign.png").read_bytes().startswith(PNG)


def test_plot_weights_writes_where_it_is_told_to(lq_command, saved_model, tmp_path):
    lq_command("plot", "weights", str(saved_model), "--output", "new/w.svg")
    assert "<svg" in (tmp_path / "new" / "w.svg").read_text()


def test_plot_history_writes_a_picture_beside_the_file(lq_command, tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n0,2\n1,1\n")
    assert lq_command("plot", "history", "log.csv") == "wrote log.png\n"
    assert (tmp_path / "log.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("plot quantizer ste_sing", 'Did you mean "ste_sign"'),
        ("plot quantizer noop", "needs precision"),
        ("plot quantizer ste_sign --output q.docx", r"\.docx"),
        ("plot history log.csv", r'"log\.csv": there is no such file'),
        ("summary missing.keras", r"no file or folder 'missing\.keras'"),
        ("summary text.keras", r"text\.keras"),
        ("summary text.txt", r"text\.txt"),
        ("summary .", "saved_model"),
        ("plot weights text.h5", r"text\.h5"),
        ("quantizers --import no_such_module", 'no module "no_such_module"'),
        ("demo --input-quantizer ste_sing", 'Did you mean "ste_sign"'),
        ("demo --epochs 0", "from 1 to 1000"),
        ("demo --epochs three", "three"),
        ("demo --train-images 9000", "from 100 to 8000"),
        ("paint", "quantizers, summary, plot, sensitivity, search, qat, diagnose"),
        ("", "quantizers, summary, plot, sensitivity, search, qat, diagnose"),
        ("plot", "quantizer, weights, history"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    refused, tmp_path, arguments, message
):
    for name in ("text.keras", "text.txt", "text.h5"):
        (tmp_path / name).write_text("not a model")
    assert re.search(message, refused(*arguments.split()))
    assert not list(tmp_path.glob("*.png"))


def test_a_refused_demo_writes_nothing(refused, tmp_path):
    refused("demo", "--input-quantizer", "ste_sing", "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_without_quantized_kernels_is_refused_by_its_name(refused, tmp_path):
    model = tf_keras.Sequential(
        [tf_keras.Input((2,)), tf_keras.layers.Dense(1)], name="all_float"
    )
    model.save(tmp_path / "float.keras")
    assert '"all_float"' in refused("plot", "weights", "float.keras")


def test_the_list_of_commands_says_what_their_own_help_says():
    for name, kind in cli.COMMANDS.items():
        begin = " ".join(runtime_cli.COMMANDS[name].split()[:5]).rstrip(".")
        assert kind.__doc__.startswith(begin), name
    assert set(runtime_cli.COMMANDS) == {*cli.COMMANDS, *runtime_cli.PARSERS}
    for command in typing.get_args(zoo_cli.Command):
        kind, settings = typing.get_args(command)
        text = runtime_cli.ZOO_COMMANDS[settings.name]
        assert kind.__doc__.startswith(text.split(",")[0].rstrip("."))


def test_version_is_that_of_the_package(lq_command):
    assert lq_command("--version") == f"larqlite {lq.__version__}\n"


def test_python_m_larqlite_is_the_same_command_and_a_closed_pipe_is_no_error(
    run_fork, tmp_path
):
    """A pipe that is closed behind its first letter; `run_fork` sees the exit code."""
    run_fork(
        """
        import os, runpy, sys, threading

        out, into = os.pipe()
        os.dup2(into, 1)
        os.close(into)
        os.dup2(os.open("errors.txt", os.O_CREAT | os.O_WRONLY), 2)

        def head():
            with open("first.txt", "wb") as file:
                file.write(os.read(out, 1))
            os.close(out)

        reader = threading.Thread(target=head)
        reader.start()
        sys.argv = ["larqlite", "quantizers", "--json"]
        try:
            runpy.run_module("larqlite", run_name="__main__", alter_sys=True)
        finally:
            reader.join()
        """
    )
    assert (tmp_path / "first.txt").read_text() == "["
    assert "Error" not in (tmp_path / "errors.txt").read_text()


def test_plot_history_takes_several_runs_and_the_look_of_the_picture(
    lq_command, tmp_path
):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("epoch,loss,mae\n0,2,1\n1,1,1\n")
    words = "plot history a.csv b.csv --labels one two --curves loss --title T"
    words += " --size 4x2.5 --dpi 50 --theme dark --output runs.png"
    assert lq_command(*words.split()) == "wrote runs.png\n"
    content = (tmp_path / "runs.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (200, 125)
    lq_command(*words.replace("png", "svg").split())
    drawn = (tmp_path / "runs.svg").read_text()
    assert all(f">{word}</text>" in drawn for word in ("one", "two", "T", "loss"))
    assert ">mae</text>" not in drawn


def test_each_other_kind_of_picture_is_drawn_from_its_file(
    lq_command, saved_model, tmp_path
):
    (tmp_path / "zoo.json").write_text('[{"name": "a", "bytes": 9, "top1": 3}]')
    row = '{"layer": "conv", "ok": true, "run_flips": null}'
    text = f'{{"name": "n", "samples": 2, "layers": [{row}]}}'
    (tmp_path / "verified.json").write_text(text)
    time = '{"engine": "larqlite", "what": "", "median": 1, "low": 1, "high": 1, '
    time += '"turns": 3, "difference": 0}'
    text = f'{{"file": "n.onnx", "batch": 1, "threads": 1, "timings": [{time}]}}'
    (tmp_path / "measured.json").write_text(text)
    for words in (
        "accuracy zoo.json",
        "verification verified.json",
        "benchmark measured.json",
        f"costs {saved_model}",
    ):
        printed = lq_command("plot", *words.split(), "--json")
        path = json.loads(printed)["wrote"]
        assert (tmp_path / path).read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size 4", "--size 4 is no width and height"),
        ("--size 4x0", "is no size of a picture"),
        ("--dpi 0", "dpi=0.0 is out of range"),
        ("--labels a", "1 labels for 2 runs"),
        ("--curves los", 'Did you mean "loss"'),
    ],
)
def test_a_look_that_cannot_be_is_refused_and_nothing_drawn(
    refused, tmp_path, words, message
):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("epoch,loss\n0,2\n1,1\n")
    assert message in refused("plot", "history", "a.csv", "b.csv", *words.split())
    assert not list(tmp_path.glob("*.png"))
