"""The command `lq integer`: from saved float models to integer ones, checked and exported."""

import contextlib
import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tf_keras
from onnx import numpy_helper

import larqlite as lq
from larqlite import cli
from larqlite.integer import models
from tests.common.eager import eagerly, quantize

layers = tf_keras.layers
TEXT = """
<ir_version: 9, opset_import: ["": 18]>
net (float[N, 3, 8, 8] image) => (float[N, 4, 6, 6] out) {
    a = Conv (image, kernel, bias)
    r = Relu (a)
    out = LAST (r)
}"""


def network():
    """A convolution, a ReLU and a classifier with probabilities."""
    return tf_keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(8, 8, 3), name="scale"),
            layers.Conv2D(4, 3, name="conv"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="labels"),
        ],
        name="net",
    )


def two_inputs():
    """Two images added up."""
    left, right = (
        layers.Input((4, 4, 3), name="left"),
        layers.Input((4, 4, 3), name="right"),
    )
    both = layers.Add()([layers.Conv2D(2, 3)(left), layers.Conv2D(2, 3)(right)])
    return tf_keras.Model([left, right], both, name="pair")


def float_onnx(last="Identity"):
    """A convolution and a ReLU, and one operation more."""
    model = onnx.parser.parse_model(TEXT.replace("LAST", last))
    rng = np.random.default_rng(0)
    for name, shape in (("kernel", (4, 3, 3, 3)), ("bias", (4,))):
        weights = rng.normal(size=shape).astype("float32")
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with float models, an integer one, and samples."""
    folder = tmp_path_factory.mktemp("files")
    tf_keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (48, 8, 8, 3)).astype("uint8")
    model = network()
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    quantize(model, samples=images).save(folder / "integer.keras")
    two_inputs().save(folder / "pair.keras")
    onnx.save(float_onnx(), folder / "net.onnx")
    onnx.save(float_onnx("LRN <size = 3>"), folder / "lrn.onnx")
    np.savez(folder / "images.npz", first=images[:32], second=images[32:])
    np.savez(folder / "labelled.npz", x=images, y=np.arange(48) % 3)
    np.savez(folder / "wrong.npz", x=images[:, :7])
    np.savez(folder / "nan.npz", x=np.full((4, 8, 8, 3), np.nan, "float32"))
    pair = rng.integers(0, 256, (2, 8, 4, 4, 3)).astype("uint8")
    np.savez(folder / "pair.npz", right=pair[1], left=pair[0])
    np.save(folder / "images.npy", images)
    floats = rng.normal(size=(16, 3, 8, 8)).astype("float32")
    np.savez(folder / "floats.npz", x=floats)
    (folder / "broken.keras").write_bytes(b"nothing of the kind")
    (folder / "broken.onnx").write_bytes(b"nothing of the kind")
    (folder / "broken.npz").write_bytes(b"nothing of the kind")
    (folder / "broken.npy").write_bytes(b"nothing of the kind")
    (folder / "broken.json").write_text("{")
    (folder / "list.json").write_text("[1]")
    (folder / "unknown.json").write_text('{"cnov": {}}')
    return folder


@pytest.fixture
def here(files, tmp_path, monkeypatch):
    """A folder to write to, with links to the files."""
    for file in files.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def command(here, capfd):
    """Runs `lq integer ARGUMENTS` in this process; gives back what it printed."""

    def run(*arguments, code=0, traced=False):
        with contextlib.nullcontext() if traced else eagerly():
            if not code:
                cli.main(["integer", *arguments])
            else:
                with pytest.raises(SystemExit) as exit_:
                    cli.main(["integer", *arguments])
                assert exit_.value.code == code
        return capfd.readouterr().out

    return run


@pytest.fixture
def refused(here, capfd):
    """Runs `lq integer ARGUMENTS`, which must exit with 2 and write nothing."""

    def run(*arguments):
        before = sorted(here.iterdir())
        with pytest.raises(SystemExit) as exit_:
            cli.main(["integer", *arguments])
        captured = capfd.readouterr()
        assert exit_.value.code == 2
        assert "Traceback" not in captured.err
        assert sorted(here.iterdir()) == before
        return captured.err

    return run


def codes_of(path, layer="conv"):
    """The integers of a kernel in a saved integer model."""
    model = models.load_model(path)
    models.record_quantization_variables(model)
    recorded = model.get_layer(layer).weight_quantizer.qweights.value
    return recorded.fp.values.numpy()


def test_quantize_writes_the_model_that_python_makes_and_shows_its_integers(
    command, here
):
    printed = command(
        "quantize", "-m", "net.keras", "--data", "images.npz", traced=True
    )
    row = re.search(r"\| conv +QuantizedConv2D .*", printed)
    assert row
    assert re.search(r" 9 +8 +\d+ +28 ", row[0])
    assert re.search(r"relu .* -\d+(\.\.-\d+)? +8 +0 +\d+", printed)
    assert "float layers: labels_softmax" in printed
    path = here / "net_i8_w8_a8.keras"
    assert f"wrote net_i8_w8_a8.keras ({path.stat().st_size:,} bytes)" in printed
    images = np.load("images.npy")
    wanted = models.quantize(lq.models.load("net.keras"), samples=images)
    found = lq.models.load(path)
    np.testing.assert_array_equal(found(images), wanted(images))


def test_the_format_and_the_bits_are_those_asked_for(command, here):
    bits = ("-w", "4", "-i", "1", "-a", "6", "--per-tensor-activations", "-b", "30")
    command("quantize", "-m", "net.h5", *bits, "--data", "labelled.npz")
    path = here / "net_i1_w4_a6.h5"
    assert path.read_bytes()[1:4] == b"HDF"
    assert set(np.unique(codes_of(path))) == {-1, 1}
    assert set(np.unique(codes_of(path, "labels"))) <= set(range(-7, 8))
    config = models.dump_config(lq.models.load(path))
    assert config["relu"]["output_quantizer"] == {
        "bitwidth": 6,
        "signed": False,
        "axis": "per-tensor",
    }
    assert config["relu"]["buffer_bitwidth"] == 30


def test_a_configuration_goes_out_and_comes_back(command, here):
    printed = command("config", "-m", "integer.keras")
    wanted = models.dump_config(lq.models.load("integer.keras"))
    assert json.loads(printed) == wanted
    command("config", "-m", "integer.keras", "-o", "four.json")
    changed = json.loads((here / "four.json").read_text())
    assert changed == wanted
    changed["conv"]["weight_quantizer"]["bitwidth"] = 4
    (here / "four.json").write_text(json.dumps(changed))
    command("quantize", "-m", "net.keras", "-c", "four.json", "-n", "32")
    assert models.dump_config(lq.models.load("net_four.keras")) == changed
    assert np.abs(codes_of("net_four.keras")).max() == 7


# As they are, and as they were; words of which each says where it goes now.
FORMER = {
    "quantize -m net.keras --data images.npy --samples 16 -o a.keras --output-bits 6": (
        "quantize -m net.keras --samples images.npy --num-samples 16 -s b.keras -o 6",
        "--samples images.npy is --data images.npy now",
        "--num-samples 16 is --samples 16 now",
        "-s b.keras is --output b.keras now",
        "-o 6 is --output-bits 6 now",
    ),
    "insert-rescaling -m net.keras -o a.keras --scale 0.5 --offset -1 0 1": (
        "insert-rescaling -m net.keras -d b.keras --scale 0.5 -o -1 0 1",
        "-d b.keras is --output b.keras now",
        "-o -1 is --offset -1 now",
    ),
}


@pytest.mark.parametrize("words", FORMER)
def test_former_flags_do_what_they_did_and_say_what_they_are_called(here, capfd, words):
    former, *notices = FORMER[words]
    with eagerly():
        cli.main(["integer", *words.split()])
        assert " now." not in capfd.readouterr().err
        cli.main(["integer", *former.split()])
    said = capfd.readouterr().err
    for notice in notices:
        assert f"lq integer {words.split()[0]}: {notice}.\n" in said
    one, other = (lq.models.load(f"{name}.keras") for name in "ab")
    x = np.load("images.npy")[:4]
    np.testing.assert_array_equal(one(x), other(x))


def test_samples_in_a_npy_file_are_those_of_python(command):
    command("quantize", "-m", "net.keras", "--data", "images.npy", "-o", "npy.keras")
    one, other = (lq.models.load(f"{name}.keras") for name in ("npy", "integer"))
    x = np.load("images.npy")
    np.testing.assert_array_equal(one(x), other(x))


def test_several_inputs_take_arrays_by_name(command):
    arguments = ("quantize", "-m", "pair.keras", "--data", "pair.npz")
    command(*arguments, "-o", "out.keras")
    with np.load("pair.npz") as data:
        samples = [data["left"], data["right"]]
    wanted = quantize(lq.models.load("pair.keras"), samples=samples)
    found = lq.models.load("out.keras")
    np.testing.assert_array_equal(found(samples), wanted(samples))


def test_an_onnx_model_becomes_one_of_integer_operations(command, here):
    samples = ("--data", "floats.npz")
    printed = command("quantize", "-m", "net.onnx", *samples)
    assert re.search(r"QuantizedInputConv2DBiasedReLUScaled +8 +-\d+", printed)
    assert "float operations: none" in printed
    with np.load("floats.npz") as data:
        floats = data["x"]
    outputs = [
        onnxruntime.InferenceSession(name).run(None, {"image": floats})[0]
        for name in ("net.onnx", "net_i8_w8_a8.onnx")
    ]
    assert np.corrcoef(outputs[0].ravel(), outputs[1].ravel())[0, 1] > 0.999
    assert len(np.unique(outputs[1][:, 0])) <= 128


def test_what_stays_float_is_said_and_is_no_fault(here, capfd):
    cli.main(["integer", "quantize", "-m", "lrn.onnx", "--data", "floats.npz"])
    captured = capfd.readouterr()
    assert "float operations: LRN" in captured.out
    assert "convolutions: 1 of 1 are integer" in captured.out
    assert re.search(r"LRN +no pattern has it there", captured.out)
    assert captured.err.count("These stay float: LRN") == 1


def test_check_tells_a_good_model_from_one_without_ranges_by_the_exit_code(
    command, here
):
    printed = command("check", "-m", "integer.keras", "--data", "images.npz")
    assert "no issues" in printed
    assert "saturated" in printed
    model = lq.models.load("integer.keras")
    model.get_layer("relu").out_quantizer.reset()
    model.save("reset.keras")
    printed = command("check", "-m", "reset.keras", code=1)
    assert re.fullmatch(r"relu/\S+ is not calibrated\.\n", printed)


def test_what_is_found_is_printed_for_programs(command, here):
    found = json.loads(command("check", "-m", "integer.keras", "--json"))
    assert found["issues"] == []
    assert found["report"] is None
    options = ("--to", "onnx", "-o", "j.onnx", "--data", "images.npz", "--json")
    found = json.loads(command("export", "-m", "integer.keras", *options))
    assert found["comparison"]["is_exact"] is True
    assert found["bytes"] == (here / found["wrote"]).stat().st_size
    options = ("-o", "j.keras", "-n", "16", "--json")
    found = json.loads(command("quantize", "-m", "net.keras", *options))
    assert found["float_layers"] == ["labels_softmax"]
    assert "labels" in [row["name"] for row in found["report"]["layers"]]


def test_a_rescaling_is_put_in_front(command):
    bare = tf_keras.Sequential([layers.Flatten(input_shape=(2, 2, 3))])
    bare.save("bare.keras")
    factors = ("--scale", "0.5", "2", "4", "--offset", "-1")
    command("insert-rescaling", "-m", "bare.keras", "-o", "scaled.h5", *factors)
    x = np.arange(12, dtype="float32").reshape(1, 2, 2, 3)
    wanted = (x * [0.5, 2, 4] - 1).reshape(1, 12)
    np.testing.assert_array_equal(lq.models.load("scaled.h5")(x), wanted)


def test_an_export_gives_the_same_bits_in_onnx_runtime(command):
    options = ("--to", "onnx", "-o", "net_out.onnx", "--data", "images.npz")
    printed = command("export", "-m", "integer.keras", *options)
    assert "First layer that differs: none" in printed
    session = onnxruntime.InferenceSession("net_out.onnx")
    images = np.load("images.npy").astype("float32")
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    wanted = lq.models.load("integer.keras")(images)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("quantize -m none.keras", "none.keras"),
        ("quantize -m images.npy", "does not end in"),
        ("quantize -m broken.keras", "broken.keras"),
        ("quantize -m broken.onnx", "no ONNX model"),
        ("quantize -m net.keras -w 99", "weight_bits is 99"),
        ("quantize -m net.keras -n 0", "--samples 0"),
        ("quantize -m net.keras -e 0", "--epochs 0"),
        ("quantize -m net.keras -o net.keras", "must not be written over"),
        ("quantize -m net.keras -o net.onnx", "does not end in .keras or .h5"),
        ("quantize -m net.onnx -o net2.keras", "does not end in .onnx"),
        ("quantize -m net.keras -o none/net.keras", "mkdir"),
        ("quantize -m net.keras -c none.json", "no such file"),
        ("quantize -m net.keras -c broken.json", "is not JSON"),
        ("quantize -m net.keras -c list.json", "no object of objects"),
        ("quantize -m net.keras -c unknown.json", '"conv"'),
        ("quantize -m net.keras --data none.npz", "no such file"),
        ("quantize -m net.keras --data broken.npz", "cannot read it"),
        ("quantize -m net.keras --data broken.npy", "cannot read it"),
        ("quantize -m net.keras --data wrong.npz", r"\(48, 7, 8, 3\)"),
        ("quantize -m net.keras --data nan.npz", "NaN"),
        ("quantize -m pair.keras --data images.npz", 'arrays "left", "right"'),
        ("quantize -m integer.keras", "quantized already"),
        ("quantize -m net.onnx -w 4", "weight_bits"),
        ("quantize -m net.onnx --data images.npz", "but the model takes"),
        ("config -m net.keras", "is a float model"),
        ("config -m net.onnx", "does not end in"),
        ("config -m integer.keras -o out.txt", "does not end in .json"),
        ("check -m net.keras", "lq integer quantize"),
        ("insert-rescaling -m integer.keras -o o.keras --scale 1", "integer model"),
        ("insert-rescaling -m net.keras -o net.keras --scale 1", "written over"),
        ("export -m net.keras --to onnx -o o.onnx", "is a float model"),
        ("export -m integer.keras --to onnx -o o.tflite", "does not end in .onnx"),
        ("export -m integer.keras --to word -o o.onnx", "word"),
        ("export -m integer.keras --to onnx", "--output"),
    ],
)
def test_a_mistake_is_answered_with_what_where_and_the_fix(refused, arguments, said):
    assert re.search(said, refused(*arguments.split()))


def test_a_file_that_cannot_be_finished_is_not_there(here, monkeypatch, capfd):
    def half(self, path, **options):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(tf_keras.Model, "save", half)
    before = sorted(here.iterdir())
    with pytest.raises(SystemExit) as exit_:
        cli.main(["integer", "quantize", "-m", "net.keras", "-n", "8"])
    assert exit_.value.code == 2
    assert "no space left" in capfd.readouterr().err
    assert sorted(here.iterdir()) == before


@pytest.mark.slow
def test_the_installed_command_does_it(here):
    program = [sys.executable, "-m", "larqlite", "integer", "config", "-m"]
    result = subprocess.run(
        [*program, "integer.keras"], capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["conv"]["weight_quantizer"] == {"bitwidth": 8}


@pytest.mark.slow
def test_what_is_done_after_training_has_flags(command):
    words = ("quantize", "--model", "net.keras", "-w", "4", "--data", "images.npy")
    shown = command(
        *words, "--ranges", "mse", "--equalize", "--adaround", "5", traced=True
    )
    assert "error, learned" in shown
    command(*words, "--bias-correction", "-o", "second.keras", traced=True)


def test_steps_that_need_samples_and_keras_are_refused_without(refused):
    words = ("quantize", "--adaround", "5", "--model")
    assert "--adaround needs real samples" in refused(*words, "net.keras")
    shown = refused(*words, "net.onnx", "--data", "floats.npz")
    assert "--adaround is for Keras models, and net.onnx is an ONNX model" in shown
