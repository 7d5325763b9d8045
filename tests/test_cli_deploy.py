"""The commands `lq export`, `lq verify`, `lq run` and `lq benchmark`."""

import configparser
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tf_keras
from onnx import numpy_helper

import larqlite as lq
from larqlite import cli
from larqlite_runtime import cli as runtime_cli
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import export
from tests.deploy.verified_network import network

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models, a file of one of them, a file with a fault, and data."""
    path = tmp_path_factory.mktemp("deploy")
    model = network()
    model.save(path / "net.keras")
    model.save(path / "net.h5")
    export(model, path / "net.onnx")
    damaged = onnx.load(path / "net.onnx")
    kernel = next(i for i in damaged.graph.initializer if i.name == "third/kernel")
    codes = numpy_helper.to_array(kernel).copy()
    codes[:20] ^= 255
    kernel.CopyFrom(numpy_helper.from_array(codes, kernel.name))
    onnx.save(damaged, path / "wrong.onnx")
    x = np.random.default_rng(0).normal(size=(12, 8, 8, 3)).astype(np.float32)
    np.savez(path / "data.npz", x=x, y=model(x).numpy().argmax(-1))
    np.save(path / "x.npy", x)
    np.savez(path / "other.npz", image_of_mine=x, ids=np.arange(12))
    np.savez(path / "mine.npz", image_of_mine=x)
    np.savez(path / "uneven.npz", x=x, y=np.zeros(5, int))
    np.save(path / "small.npy", x[:, :4])
    (path / "text.onnx").write_text("not a model")
    return path


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


@pytest.fixture
def command(here, capfd):
    """Runs `lq ARGUMENTS` in this process; gives back what it printed."""

    def run(arguments, code=0, main=cli.main):
        before = set(here.iterdir())
        try:
            main(arguments.split())
            ended = 0
        except SystemExit as exit_:
            ended = exit_.code
        captured = capfd.readouterr()
        assert ended == code, captured.err
        assert "Traceback" not in captured.err
        if code:
            assert set(here.iterdir()) == before
        return captured.out if code != 2 else captured.err

    return run


@pytest.mark.parametrize("model", ["net.keras", "net.h5"])
def test_export_writes_the_file_that_python_writes(command, here, model):
    printed = command(f"export {model} new.onnx")
    assert re.search(r"\| third +QuantConv2D +BConv2D +1 +576 ", printed)
    assert "wrote new.onnx (verified: " in printed
    written, known = (onnx.load(here / name) for name in ("new.onnx", "net.onnx"))
    assert [n.op_type for n in written.graph.node] == [
        n.op_type for n in known.graph.node
    ]
    for one, two in zip(
        written.graph.initializer, known.graph.initializer, strict=True
    ):
        assert one == two


def test_export_without_verification_says_so(command):
    assert "wrote plain.onnx (not verified)" in command(
        "export net.keras plain.onnx --no-verify"
    )


def test_export_compares_on_data_that_are_given(command, here):
    inputs = tf_keras.Input((4,), name="far")
    outputs = lq.layers.QuantDense(2, input_quantizer="ste_sign")(
        tf_keras.layers.Rescaling(1.0)(inputs) ** 0.5 * (inputs - 1e6) ** 0.5
    )
    tf_keras.Model(inputs, outputs).save(here / "far.keras")
    np.savez(here / "far.npz", far=np.full((40, 4), 2e6, np.float32))
    asked = command("export far.keras far.onnx", code=2)
    assert "takes others: it gives NaN" in asked
    assert "--data FILE" in asked
    printed = command("export far.keras far.onnx --data far.npz")
    assert "wrote far.onnx (verified: " in printed
    for flag in ("--no-verify", "--qonnx"):
        refused = command(f"export far.keras far.onnx --data far.npz {flag}", code=2)
        assert f"the comparison, which {flag} leaves out" in refused
    assert "no such file" in command("export far.keras far.onnx --data no.npz", code=2)
    model = "far.keras"
    assert "Fix" in command(f"export {model} far.onnx --data {model}", code=2)


def test_export_as_qonnx(command, here):
    assert re.search(
        r"wrote q\.onnx \([\d,]+ bytes, QONNX\)",
        command("export net.keras q.onnx --qonnx"),
    )
    operations = {node.op_type for node in onnx.load(here / "q.onnx").graph.node}
    assert "BipolarQuant" in operations
    plain = (here / "q.onnx").read_bytes()
    assert "QONNX)" in command("export net.keras q.onnx --to qonnx")
    assert (here / "q.onnx").read_bytes() == plain


@pytest.mark.parametrize("tool", ["hls4ml", "finn"])
def test_export_for_a_compiler_of_fpgas(command, here, tool):
    printed = command(f"export net.keras {tool}.onnx --to {tool}")
    assert f"QONNX for {tool})" in printed
    file = onnx.load(here / f"{tool}.onnx")
    if tool == "finn":
        assert lq.deploy.check_finn(here / "finn.onnx") == ()
    else:
        assert "larqlite.hls4ml" in {entry.key for entry in file.metadata_props}
    refused = command(f"export net.keras a.onnx --to {tool} --data d.npz", code=2)
    assert f"the comparison, which --to {tool} leaves out" in refused


def test_export_of_a_file_that_would_be_wrong_ends_with_1(here, monkeypatch, capfd):
    from larqlite.onnx_graph import _packing

    pack = _packing.pack_codes
    monkeypatch.setattr(_packing, "pack_codes", lambda *given: pack(*given) ^ 1)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["export", "net.keras", "bad.onnx"])
    assert exit_.value.code == 1
    errors = capfd.readouterr().err
    assert "lq: lq.deploy.export: the file does not compute" in errors
    assert "WRONG: first, second, third, last" in errors
    assert not (here / "bad.onnx").exists()


def test_verify_prints_the_table_of_python(command):
    printed = command("verify net.keras net.onnx --data data.npz --samples 5")
    x = np.load("data.npz")["x"][:5]
    model = lq.models.load("net.keras")
    assert printed == f"{lq.deploy.verify(model, 'net.onnx', x)}\n"
    assert "5 of 5 labels agree" in printed


def test_verify_takes_random_inputs_and_prints_data_for_programs(command):
    printed = command("verify net.h5 net.onnx --samples 3 --no-stock --json")
    data = json.loads(printed)
    assert data["ok"] is True
    assert data["samples"] == 3
    assert data["stock"] is None
    assert [row["layer"] for row in data["layers"]] == [
        "first",
        "second",
        "third",
        "last",
    ]


def test_commands_take_an_engine_which_is_all_that_runs(command, here):
    for main in (cli.main, runtime_cli.main):
        printed = command("explain net.onnx --engine native --json", main=main)
        paths = {step["path"] for step in json.loads(printed)["steps"]}
        assert len(paths - {"onnxruntime"}) == len(paths) == 1
    printed = command(
        "run net.onnx --data x.npy --engine natif", main=runtime_cli.main, code=2
    )
    assert "there is no engine 'natif'" in printed


def test_commands_take_a_precision_and_say_what_ran(command, here):
    model, x = lq.models.load("net.keras"), np.load("data.npz")["x"][:5]
    wanted = lq.deploy.verify(model, "net.onnx", x, stock=False, precision="bf16")
    words = "--data data.npz --samples 5 --no-stock --precision bf16"
    printed = command(f"verify net.keras net.onnx {words}", code=int(not wanted.ok))
    assert printed == f"{wanted}\n"
    assert 'The whole file with precision="bf16"' in printed
    for main in (cli.main, runtime_cli.main):
        printed = command("explain net.onnx --precision bf16 --json", main=main)
        kinds = {step["kind"] for step in json.loads(printed)["steps"]}
        assert ("conv_bf16" in kinds) == (wanted.reduced.ran == "bf16")
    for words in (
        "run net.onnx --data x.npy",
        "benchmark net.onnx",
        "explain net.onnx",
    ):
        printed = command(f"{words} --precision int7", code=2)
        assert '"float32", "bf16", "int8-input"' in printed


def test_verify_ends_with_1_and_names_the_layer_if_the_file_departs(command):
    printed = command("verify net.keras wrong.onnx", code=1)
    assert "WRONG: third (1 of 4 layers)" in printed
    assert "first layer that departs from Keras: third" in printed


def test_run_counts_one_hot_labels_and_says_why_not(command, here):
    arrays = dict(np.load(here / "data.npz"))
    np.savez(here / "hot.npz", x=arrays["x"], y=np.eye(10)[arrays["y"]])
    assert "accuracy: 100.00 % of 12" in command("run net.onnx --data hot.npz")
    np.savez(here / "odd.npz", x=arrays["x"], y=arrays["y"] + 20)
    printed = command("run net.onnx --data odd.npz")
    assert re.search("no accuracy: y goes from 2. to 2., .* classes 0 to 9", printed)
    data = json.loads(command("run net.onnx --data odd.npz --json"))
    assert data["outputs"]["last_bn"]["accuracy"] is None
    assert "classes 0 to 9" in data["outputs"]["last_bn"]["why_no_accuracy"]


@pytest.mark.parametrize(
    ("words", "forms"),
    [
        ("run net.onnx --data x.npy", ["--batch 3", "--batch=3"]),
        ("benchmark net.onnx --seconds 0.05 --against onnxruntime", ["--batch 3"]),
    ],
)
def test_the_former_name_of_the_batch_size_is_taken_with_a_notice(
    here, capfd, words, forms
):
    for given in forms:
        cli.main([*words.split(), *given.split()])
        printed = capfd.readouterr()
        assert "batches of 3" in printed.out
        assert "--batch 3 is --batch-size 3 now.\n" in printed.err


def test_the_batch_size_by_its_name_is_taken_without_a_notice(here, capfd):
    benchmark = "benchmark net.onnx --seconds 0.05 --against onnxruntime --batch-size=3"
    for words in ("run net.onnx --data x.npy --batch-size 3", benchmark):
        cli.main(words.split())
        assert " now." not in capfd.readouterr().err


def test_the_output_of_an_export_is_a_word_or_a_flag_and_never_both(command, here):
    for words in ("export net.keras one.onnx", "export net.keras -o two.onnx"):
        assert "wrote" in command(words)
    assert (here / "one.onnx").read_bytes() == (here / "two.onnx").read_bytes()
    both = command("export net.keras three.onnx -o four.onnx", code=2)
    assert "two words say where to write" in both


def test_data_of_any_name_and_a_count_of_samples(command, here):
    whole = command("run net.onnx --data data.npz --json")
    part = json.loads(command("run net.onnx --data mine.npz --samples 5 --json"))
    labels = json.loads(whole)["outputs"]["last_bn"]["labels"]
    assert part["samples"] == 5
    assert part["outputs"]["last_bn"]["labels"] == labels[:5]
    assert "--samples 0 is out of range" in command(
        "run net.onnx --data x.npy --samples 0", code=2
    )


def test_the_images_of_the_package_are_data_of_every_command_that_has_them(
    command, here
):
    layers = [tf_keras.Input((28, 28, 1)), tf_keras.layers.Flatten()]
    tf_keras.Sequential([*layers, tf_keras.layers.Dense(10)]).save("clothes.keras")
    command("export clothes.keras clothes.onnx --data fashion_mnist")
    printed = command(
        "verify clothes.keras clothes.onnx --data fashion_mnist --samples 7"
    )
    assert "Keras against the file (7 samples)" in printed


@pytest.mark.parametrize("main", [cli.main, runtime_cli.main])
def test_run_prints_labels_accuracy_and_times_and_writes_outputs(command, here, main):
    printed = command("run net.onnx --data data.npz -o y.npz --batch-size 5", main=main)
    labels = np.load("data.npz")["y"]
    assert re.search(
        r"12 samples in [\d.e-]+ s \([\d,]+ us each, in batches of 5\)", printed
    )
    shown = " ".join(map(str, labels[:10]))
    assert f"last_bn (12x10): labels {shown} ..." in printed
    assert "accuracy: 100.00 % of 12" in printed
    assert "wrote y.npz" in printed
    keras = lq.models.load("net.keras")(np.load("x.npy")).numpy()
    with np.load("y.npz") as written:
        np.testing.assert_allclose(written["last_bn"], keras, rtol=1e-5, atol=1e-5)
    assert not list(here.glob("tmp*"))


def test_run_reads_and_writes_npy_and_shows_the_steps(command):
    printed = command("run net.onnx --data x.npy --output y.npy --profile --threads 1")
    assert np.load("y.npy").shape == (12, 10)
    assert "accuracy" not in printed
    assert re.search(r"third\b.* conv +\S+ +[\d.]+ +\d+", printed)
    assert "1 thread\n" in printed


def test_run_imports_neither_tensorflow_nor_larqlite(run_python, folder):
    printed = run_python(
        f"""
        import sys
        for name in ("tensorflow", "tf_keras", "larqlite", "onnx", "tyro", "rich"):
            sys.modules[name] = None  # an import fails
        from larqlite_runtime.cli import main
        main(["run", "{folder}/net.onnx", "--data", "{folder}/data.npz"])
        """
    )
    assert "accuracy: 100.00 % of 12" in printed


def test_the_installed_command_is_the_one_that_needs_no_tensorflow_for_run():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).resolve().parent.parent / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert "lq = larqlite_runtime.cli:main" in scripts


def test_the_installed_command_leads_to_every_other_command(run_fork):
    printed = run_fork(
        """
        import contextlib, sys
        from larqlite_runtime.cli import main

        sys.argv = ["lq", "summary", "nothing.keras"]
        try:
            with contextlib.redirect_stderr(sys.stdout):
                main()
        except SystemExit as exit_:
            print("code", exit_.code)
        """
    )
    assert printed.endswith("code 2\n")
    assert "nothing.keras" in printed
    assert "Traceback" not in printed


def test_benchmark_prints_times_the_verdict_and_the_steps_and_draws_them(command, here):
    printed = command(
        "benchmark net.onnx --model net.keras --against onnxruntime,tensorflow tflite "
        "--threads 1 --batch-size 2 --seconds 0.05 --output bars.png"
    )
    for engine in ("larqlite", "onnxruntime", "tensorflow", "tflite"):
        assert re.search(rf"^\| {engine} +\d[\d.,]* ", printed, re.MULTILINE)
    assert "batches of 2, 1 thread" in printed
    assert re.search(
        r"The packed kernels win|The float path wins|Neither wins", printed
    )
    assert re.search(r"third\b.* conv +\S+ +[\d.]+ +\d+", printed)
    assert "wrote bars.png" in printed
    assert (here / "bars.png").read_bytes().startswith(PNG)


def test_benchmark_as_data_has_the_same_outputs_of_every_engine(command):
    printed = command("benchmark net.onnx --model net.keras --seconds 0.05 --json")
    data = json.loads(printed)
    assert [t["engine"] for t in data["timings"]] == [
        "larqlite",
        "onnxruntime",
        "tensorflow",
    ]
    for timing in data["timings"]:
        assert 0 < timing["low"] <= timing["median"] <= timing["high"]
        assert timing["turns"] >= 5
        assert timing["difference"] < 1e-5
    assert data["bytes"] == Path("net.onnx").stat().st_size
    assert sum(step["products"] for step in data["profile"]["steps"]) == (
        36 * 9 * 32 * (32 + 32 + 16) + 36 * 16 * 10
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("export nothing.keras out.onnx", r"nothing\.keras"),
        ("export net.keras", "FILE"),
        ("export net.keras nowhere/out.onnx", 'folder "nowhere"'),
        ("export text.onnx out.onnx", r"text\.onnx"),
        ("verify net.keras nothing.onnx", r"nothing\.onnx[\s\S]*Fix: lq export"),
        ("verify net.keras text.onnx", r"text\.onnx: [\s\S]*Fix:"),
        ("verify net.keras net.onnx --data x.npz", r"x\.npz: there is no such file"),
        ("verify net.keras net.onnx --data small.npy", r"\(\d+, 4, 8, 3\)"),
        ("verify net.keras net.onnx --samples 0", "--samples 0 is out of range"),
        ("run nothing.onnx --data x.npy", r"nothing\.onnx: there is no such file"),
        ("run text.onnx --data x.npy", r"text\.onnx: [\s\S]*Fix:"),
        ("run net.onnx", "--data"),
        ("run net.onnx --data none.npy", r"none\.npy: there is no such file"),
        ("run net.onnx --data text.onnx", "NumPy cannot read it"),
        (
            "run net.onnx --data other.npz",
            'holds "image_of_mine", "ids", but the model',
        ),
        ("run net.onnx --data uneven.npz", "12 inputs, but 5 labels"),
        ("run net.onnx --data small.npy", r"small\.npy: [\s\S]*12 x 4 x 8 x 3|\(12, 4"),
        ("run net.onnx --data x.npy -o y.txt", r"does not end in \.npz or \.npy"),
        ("run net.onnx --data x.npy -o no/y.npy", 'there is no folder "no"'),
        ("run net.onnx --data x.npy --threads 0", "--threads 0 is out of range"),
        ("benchmark net.onnx --against tflite", "tflite runs the Keras model"),
        ("benchmark net.onnx --against lce", 'no engine "lce"'),
        ("benchmark nothing.onnx", r"nothing\.onnx"),
        ("benchmark text.onnx", r"text\.onnx: [\s\S]*Fix:"),
        ("benchmark net.onnx --output bars.docx", r"\.docx"),
        ("benchmark net.onnx --batch-size 0", "--batch-size 0 is out of range"),
        ("benchmark net.onnx --seconds 0", "--seconds 0 is out of range"),
    ],
)
def test_a_mistake_gets_one_message_with_the_fix_and_exit_code_2(
    command, arguments, said
):
    assert re.search(said, command(arguments, code=2))


def test_a_model_of_several_inputs_takes_an_array_for_each_by_name(command, here):
    inputs = [tf_keras.Input((4,), name=name) for name in ("left", "right")]
    outputs = [tf_keras.layers.Add(name="sum")(inputs), inputs[0]]
    tf_keras.Model(inputs, outputs).save("two.keras")
    command("export two.keras two.onnx")
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez("two.npz", right=x, left=2 * x)
    command("run two.onnx --data two.npz -o both.npz")
    with np.load("both.npz") as written:
        np.testing.assert_array_equal(written["sum"], 3 * x)
    assert 'arrays "left", "right"' in command("run two.onnx --data x.npy", code=2)
    assert "2 outputs cannot be written as .npy" in command(
        "run two.onnx --data two.npz -o both.npy", code=2
    )


@pytest.mark.parametrize("words", ["summary net.keras", "verify net.keras net.onnx"])
def test_a_table_fits_into_a_narrow_terminal(command, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    whole = command(words)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    narrow = re.sub(r"\x1b\[[\d;]*m", "", command(words))
    rows = [line for line in narrow.splitlines() if line[:1] in "+|"]
    assert max(map(len, rows)) <= 79 < max(map(len, whole.splitlines()))
    cells = [set(re.findall(r"[^\s|+-][^\s|]*", text)) for text in (whole, narrow)]
    assert cells[0] == cells[1]
    # Each part names the layers again.
    assert sum(bool(re.match(r"\| third ", row)) for row in rows) > 1


def test_run_and_export_print_data_for_programs(command, here):
    data = json.loads(command("run net.onnx --data data.npz --json -o j.npz"))
    assert data["samples"] == 12
    assert data["outputs"]["last_bn"]["labels"] == np.load("data.npz")["y"].tolist()
    assert data["outputs"]["last_bn"]["accuracy"] == 1.0
    assert data["wrote"] == "j.npz"
    assert data["profile"] is None
    data = json.loads(command("export net.keras j.onnx --json"))
    assert data["bytes"] == (here / "j.onnx").stat().st_size
    assert data["verified"] is True
    assert [row["layer"] for row in data["packed"]][-1] == "last"


def test_inputs_that_are_no_numbers_are_told(here, capfd):
    x = np.load("x.npy").copy()
    x[3, 0, 0, 0] = np.nan
    x[5, 1, 1, 1] = np.inf
    np.save("nan.npy", x)
    cli.main(["run", "net.onnx", "--data", "nan.npy"])
    captured = capfd.readouterr()
    assert "2 of 12 samples hold NaN or infinite numbers (the first is number 3)" in (
        captured.err
    )
    assert "12 samples in" in captured.out


WITHOUT_ARRAYS = {
    "text.npz": lambda data: b"no archive",
    "empty.npz": lambda data: b"",
    "objects.npy": lambda data: None,
    "half.npz": lambda data: data[:5000],
    "damaged.npz": lambda data: data[:200] + b"?" * 900 + data[1100:],
}
READERS = [
    "run net.onnx --data {}",
    "verify net.keras net.onnx --data {}",
    "qat net.keras --data {}",
    "integer quantize -m net.keras --data {}",
]


@pytest.mark.parametrize(("name", "words"), in_turn(WITHOUT_ARRAYS, READERS))
def test_a_file_without_arrays_is_told_without_bad_advice(command, here, name, words):
    content = WITHOUT_ARRAYS[name]((here / "data.npz").read_bytes())
    if content is None:
        np.save(name, np.array([{}, 1], dtype=object))
    else:
        (here / name).write_bytes(content)
    said = command(words.format(name), code=2)
    assert f"{words.split()[-2]} {name}: NumPy cannot read it" in said
    assert "pickle" not in said
    assert "Fix: write it with np.savez" in said


@pytest.mark.parametrize("count", ["0", "-1", "999999"])
@pytest.mark.parametrize("words", ["run net.onnx --data x.npy", "benchmark net.onnx"])
def test_a_number_of_threads_that_no_machine_has_is_refused(command, words, count):
    said = command(f"{words} --threads {count}", code=2)
    assert f"--threads {count} is out of range" in said


def test_without_colours_nothing_is_coloured(here, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for is_set in (False, True):
        if is_set:
            monkeypatch.setenv("NO_COLOR", "1")
        for words in (["qat", "--dta"], ["integer", "--help"], ["plot"]):
            with pytest.raises(SystemExit):
                cli.main(words)
        captured = capsys.readouterr()
        assert ("\x1b[" in captured.out + captured.err) != is_set
        assert 'Did you mean "--data"' in captured.err
