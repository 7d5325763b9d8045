"""What is written: never over a file that is read or of another kind, whole or not at all."""

import errno
import json
import os
import shutil
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import cli
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.outputs import KERAS, ONNX, require, written_whole
from larqlite_runtime.outputs import ARRAYS

L = tf_keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def require_refusal(words):
    """Runs `lq WORDS`, which must exit with 2."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(words.split())
    assert exit_.value.code == 2, words


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file of every kind that a command reads."""
    folder = tmp_path_factory.mktemp("made")
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            L.Dense(4, activation="relu", name="hidden"),
            L.Dense(3, name="labels"),
        ],
        name="net",
    )
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    model.save(folder / "net_tf", save_format="tf")
    x = np.random.default_rng(0).integers(-99, 99, (8, 6)).astype("float32")
    np.savez(folder / "data.npz", x=x, y=np.zeros(8, int))
    np.save(folder / "data.npy", x)
    binary = tf_keras.Sequential(
        [tf_keras.Input((6,)), lq.layers.QuantDense(4, **BINARY)], name="binary"
    )
    binary.save(folder / "binary.keras")
    lq.deploy.export(binary, folder / "binary.onnx")
    integer = lq.integer.models.quantize(model, samples=x)
    integer.save(folder / "integer.keras")
    (folder / "log.csv").write_text("epoch,loss\n0,2\n1,1\n")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A fresh copy of these files, the present folder; the one bit of each is remembered."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Every command that writes: its words, the option that names the output, its input, and an
# ending that it writes.
WRITERS = [
    ("export binary.keras {}", "binary.keras", ".onnx"),
    ("export binary.keras {} --qonnx", "binary.keras", ".onnx"),
    ("qat net.keras --data data.npz --output {}", "net.keras", ".tflite"),
    ("qat net.keras --data data.npz --output {}", "data.npz", ".tflite"),
    ("qat net.keras --data data.npz --save {}", "net.keras", ".keras"),
    ("qat net.h5 --data data.npz --save {}", "net.h5", ".h5"),
    ("run binary.onnx --data data.npz -o {}", "data.npz", ".npz"),
    ("run binary.onnx --data data.npy -o {}", "data.npy", ".npy"),
    ("run binary.onnx --data data.npz -o {}", "binary.onnx", ".npz"),
    ("benchmark binary.onnx -o {}", "binary.onnx", ".png"),
    ("plot weights binary.keras --output {}", "binary.keras", ".png"),
    ("plot history log.csv --output {}", "log.csv", ".png"),
    ("integer quantize -m net.keras --data data.npz -o {}", "net.keras", ".keras"),
    ("integer quantize -m net.keras --data data.npz -o {}", "data.npz", ".keras"),
    ("integer config -m integer.keras -o {}", "integer.keras", ".json"),
    ("integer insert-rescaling -m net.h5 -o {} --scale 1", "net.h5", ".h5"),
    ("integer export -m integer.keras --to onnx -o {}", "integer.keras", ".onnx"),
    ("integer export -m integer.keras --to qdq -o {}", "integer.keras", ".onnx"),
    ("integer export -m integer.keras --to tflite -o {}", "integer.keras", ".tflite"),
]


@pytest.mark.parametrize(("words", "source", "suffix"), WRITERS)
def test_no_command_writes_over_what_it_reads_or_over_another_kind(
    here, capsys, words, source, suffix
):
    aliases = [source, f"./{source}", f"../here/{source}", str(here / source)]
    link, hard, folder = f"link{suffix}", f"hard{suffix}", f"folder{suffix}"
    os.symlink(source, link)
    os.link(source, hard)
    (here / folder).mkdir()
    (here / f"kept{suffix}").write_bytes(b"\x00 neither of them")
    (here / f"protected{suffix}").write_bytes(b"")
    (here / f"protected{suffix}").chmod(0o444)
    others = [
        folder, f"kept{suffix}", f"protected{suffix}", "new.txt", "new", "",
        f"{'log.csv' if suffix == '.png' else 'no/such'}/of{suffix}",
    ]  # fmt: skip
    before = contents(here)
    for name in (*aliases, link, hard, *others):
        with pytest.raises(SystemExit) as exit_:
            cli.main([name if word == "{}" else word for word in words.split()])
        captured = capsys.readouterr()
        assert exit_.value.code == 2, name
        assert "Fix: " in captured.err, captured.err
        assert "Traceback" not in captured.err
        assert contents(here) == before, name
        assert os.path.islink(link)


def test_nothing_is_written_into_a_saved_model_that_is_read(here, capsys):
    before = contents(here)
    os.symlink("net_tf", "way")
    for words in (
        "export net_tf net_tf/net.onnx",
        "export net_tf way/variables/net.onnx",
        "export net_tf net_tf",
        "plot weights net_tf --output net_tf/new/w.png",
        "qat net_tf --data data.npz -o net_tf/net.tflite",
    ):
        require_refusal(words)
        assert "(it lies in net_tf), and must not be written over" in (
            capsys.readouterr().err
        )
    assert contents(here) == before
    assert require("net_tf/../net.onnx", ONNX, "here", read=["net_tf"])


# Names that nobody gave.
DEFAULTS = [
    ("qat net.keras --data data.npz", "net.tflite", b"\x1c\x00\x00\x00TFL3"),
    ("plot quantizer ste_sign", "ste_sign.png", b"\x89PNG of a holiday"),
    ("plot weights binary.keras", "binary_weights.png", b"\x89PNG of a holiday"),
    ("plot history log.csv", "log.png", b"\x89PNG of a holiday"),
    ("integer quantize -m net.keras", "net_i8_w8_a8.keras", b"PK"),
]


@pytest.mark.parametrize(("words", "name", "content"), DEFAULTS)
def test_a_name_that_nobody_gave_is_not_written_over(
    here, capsys, words, name, content
):
    (here / name).write_bytes(content)
    require_refusal(words)
    assert f"{name} is there already" in capsys.readouterr().err.replace('"', "")
    assert (here / name).read_bytes() == content


def test_an_older_output_is_replaced_when_it_is_named_and_a_picture_always(
    here, capsys
):
    for _ in range(2):
        cli.main(["plot", "history", "log.csv"])
        cli.main(["plot", "quantizer", "ste_sign", "--output", "q.svg"])
        cli.main(["export", "binary.keras", "new.onnx"])
        cli.main(["run", "new.onnx", "--data", "data.npy", "-o", "new.npz"])
    assert "wrote new.npz" in capsys.readouterr().out


FUNCTIONS = {
    "deploy.export": (ONNX, lambda m, x, path: lq.deploy.export(m.binary, path)),
    "deploy.to_qonnx": (ONNX, lambda m, x, path: lq.deploy.to_qonnx(m.binary, path)),
    "deploy.to_flat": (
        (".lqflat",), lambda m, x, path: lq.deploy.to_flat(m.binary, path),
    ),
    "qat.to_tflite": ((".tflite",), lambda m, x, path: lq.qat.to_tflite(m.qat, path)),
    "integer.export.to_onnx": (
        ONNX, lambda m, x, path: lq.integer.export.to_onnx(m.integer, path),
    ),
    "integer.export.to_qdq": (
        ONNX, lambda m, x, path: lq.integer.export.to_qdq(m.integer, path),
    ),
    "integer.export.to_tflite": (
        (".tflite",),
        lambda m, x, path: lq.integer.export.to_tflite(m.integer, path, samples=x),
    ),
    "plot.quantizer": (
        (".png", ".svg"),
        lambda m, x, path: lq.plot.quantizer("ste_sign", path=path),
    ),
    "plot.weights": (
        (".pdf",), lambda m, x, path: lq.plot.weights(m.binary, path=path),
    ),
    "plot.history": (
        (".png",), lambda m, x, path: lq.plot.history({"loss": [2.0, 1.0]}, path=path),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(made):
    class Models:
        binary = lq.models.load(made / "binary.keras")
        integer = lq.models.load(made / "integer.keras")
        net = lq.models.load(made / "net.keras")

    x = np.load(made / "data.npy")
    Models.qat = lq.qat.quantize_model(Models.net, calibrate=x)
    return Models, x


LONGEST = ("integer.export.to_qdq", "integer.export.to_tflite", "plot.weights")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LONGEST))
        for name in FUNCTIONS
    ],
)
def test_no_function_writes_over_a_file_of_another_kind(here, models, name):
    suffixes, write = FUNCTIONS[name]
    suffix = suffixes[0]
    before = contents(here)
    for path in ("net.keras", "data.npz", "new.txt", "new", "", ".", "net_tf", "\0"):
        with pytest.raises((ArgumentError, MissingFileError), match="Fix: "):
            write(*models, path)
    for path in (BytesIO(), 3, b"\xff\x00"):
        with pytest.raises(ArgumentError, match="Fix: "):
            write(*models, path)
    with pytest.raises(ArgumentError, match="File name too long"):
        write(*models, f"{'long' * 100}{suffix}")
    if not name.startswith("plot"):
        with pytest.raises(MissingFileError, match='there is no folder "no"'):
            write(*models, f"no/file{suffix}")
    with pytest.raises(MissingFileError, match=r'log\.csv" is no folder'):
        write(*models, f"log.csv/file{suffix}")
    (here / f"kept{suffix}").write_bytes(b"\x00other")
    with pytest.raises(ArgumentError, match="is there already, but is no"):
        write(*models, Path(f"kept{suffix}"))
    (here / f"kept{suffix}").unlink()
    assert contents(here) == before
    for suffix in suffixes:  # and over its own, twice, by any kind of path
        for path in (f"Über mich{suffix}", Path(f"Über mich{suffix}")):
            write(*models, path)
        assert (here / f"Über mich{suffix}").stat().st_size > 100
    # Nothing is left beside.
    assert set(contents(here)) - set(before) == {f"Über mich{s}" for s in suffixes}


def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(
    here, capsys, monkeypatch
):
    """The rights of a folder say nothing to the administrator, so making a file fails."""
    opened = os.open

    def refuse(path, flags, *arguments, **options):
        if flags & os.O_CREAT and "here" not in Path(path).name:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *arguments, **options)

    def work(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(lq.models, "load", work)
    commands = [words.format("new" + suffix) for words, _, suffix in WRITERS]
    commands = [words for words in commands if not words.startswith("run")]
    for words in (*commands, *(words for words, _, _ in DEFAULTS), "demo"):
        require_refusal(words)
        assert "(Read-only file system)" in capsys.readouterr().err, words


def half_written(path, error):
    with written_whole(path) as temporary:
        temporary.write_bytes(b"half of")
        raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_cannot_be_finished_leaves_the_older_one(here, number):
    Path("net.onnx").write_bytes(b"\x08older")
    for path, error in (
        (Path("net.onnx"), OSError(number, os.strerror(number))),
        (Path("other.onnx"), KeyboardInterrupt()),
        (Path("other.onnx"), RuntimeError("HDF5: No space left on device")),
    ):
        kind = OSError if isinstance(error, RuntimeError) else type(error)
        with pytest.raises(kind):
            half_written(path, error)
    assert Path("net.onnx").read_bytes() == b"\x08older"
    assert not [name for name in os.listdir() if name.startswith(".")]
    assert not Path("other.onnx").exists()


def test_a_link_is_written_through_and_rights_are_kept(here):
    (here / "store").mkdir()
    older = here / "store" / "net.onnx"
    older.write_bytes(b"\x08older")
    older.chmod(0o640)
    os.symlink(older, "latest.onnx")
    path = require("latest.onnx", ONNX, "here")
    with written_whole(path) as temporary:
        temporary.write_bytes(b"\x08new")
    assert os.path.islink("latest.onnx")
    assert older.read_bytes() == b"\x08new"
    assert older.stat().st_mode & 0o777 == 0o640
    with written_whole(Path("fresh.onnx")) as temporary:
        temporary.write_bytes(b"\x08new")
    mask = os.umask(0)
    os.umask(mask)
    assert Path("fresh.onnx").stat().st_mode & 0o777 == 0o666 & ~mask


def test_names_that_differ_in_case_are_one_file_where_the_disk_says_so(
    here, monkeypatch
):
    same, exists = os.path.samefile, Path.exists
    monkeypatch.setattr(
        os.path, "samefile", lambda a, b: str(a).lower() == str(b).lower() or same(a, b)
    )
    monkeypatch.setattr(
        Path, "exists", lambda self: exists(self) or exists(Path(str(self).lower()))
    )
    with pytest.raises(ArgumentError, match="is read, and must not be written over"):
        require("NET.keras", KERAS, "here", read=["net.keras"])


def test_endings_in_capitals_are_taken_where_the_format_does_not_depend_on_them(here):
    assert require("NET.ONNX", ONNX, "here") == Path("NET.ONNX")
    assert require("Y.NPZ", ARRAYS, "here")
    with pytest.raises(ArgumentError, match=r"does not end in \.keras or \.h5"):
        require("net.KERAS", KERAS, "here")


@pytest.mark.parametrize("name", [".", "..", "/", ""])
def test_a_folder_as_a_name_is_no_traceback(here, capsys, name):
    for words in (
        ["export", name, "new.onnx"],
        ["export", "net.keras", name],
        ["qat", name, "--data", "data.npz"],
        ["qat", "net.keras", "--data", name],
        ["integer", "check", "-m", name],
        ["integer", "quantize", "-m", "net.keras", "--data", name],
        ["plot", "history", name],
        ["plot", "weights", name],
        ["plot", "quantizer", "ste_sign", "--output", name],
        ["run", "binary.onnx", "--data", name],
        ["run", "binary.onnx", "--data", "data.npz", "-o", name],
        ["benchmark", name],
    ):
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        assert exit_.value.code == 2, words
        assert "Traceback" not in capsys.readouterr().err


def test_a_device_or_a_pipe_is_no_file(here):
    os.mkfifo("pipe.onnx")
    os.symlink("/dev/null", "null.onnx")
    for name in ("pipe.onnx", "null.onnx"):
        with pytest.raises(ArgumentError, match="is no regular file"):
            require(name, ONNX, "here")


def test_training_replaces_a_run_of_training_and_nothing_else(here):
    from larqlite_zoo import training

    recipe = training.recipe("TrainBinaryVGGSmall")
    names = ("config.json", "history.csv", "summary.txt", "binary_vgg_small.keras")
    for name in names:
        folder = here / f"of {name}"
        folder.mkdir()
        (folder / name).write_text('{"mine": 1}')
        for restart in (False, True):
            options = training.Options(output=folder, restart=restart)
            with pytest.raises(
                ArgumentError, match=f"{name}, which no run of training"
            ):
                training.train(recipe, options)
        assert contents(folder) == {name: b'{"mine": 1}'}
    (here / f"{recipe.dataset}.csv").write_text("name,score\nmine,1\n")
    with pytest.raises(ArgumentError, match="is no table of results"):
        training.train(recipe, training.Options(output=here / "run", results=here))


def test_a_demo_replaces_an_earlier_demo_and_nothing_else(here, capsys):
    (here / "model.keras").write_bytes(b"PK of mine")
    (here / "float_twin.json").write_text('{"twin": "of mine"}')
    before = contents(here)
    for words in (
        "demo --output .",
        "demo --output . --float-twin",
        "demo --output log.csv",
    ):
        require_refusal(words)
    assert "model.keras, which no demo wrote" in capsys.readouterr().err
    assert contents(here) == before
    assert json.loads((here / "float_twin.json").read_text()) == {"twin": "of mine"}
