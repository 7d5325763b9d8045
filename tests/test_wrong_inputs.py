"""Wrong words and files: one message that says what and a way out, exit code 2, nothing changed."""

import errno
import os
import re
import resource
import shlex

import numpy as np
import onnx
import pytest
import tf_keras
from onnx import TensorProto, helper, numpy_helper

import larqlite as lq
from larqlite import cli

L = tf_keras.layers
BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def foreign(path, inputs, nodes, ir_version=9, opset=18, domain="", constants=()):
    """An ONNX file of somebody else."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    given = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape) for shape in inputs
    ]
    graph = helper.make_graph(nodes, "g", given, [output], constants)
    versions = [helper.make_opsetid("", opset)]
    versions += [helper.make_opsetid(domain, 1)] if domain else []
    model = helper.make_model(graph, opset_imports=versions, ir_version=ir_version)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, its file, and files and folders that are none."""
    folder = tmp_path_factory.mktemp("made")
    model = tf_keras.Sequential(
        [tf_keras.Input((6,)), lq.layers.QuantDense(3, **BINARY)], name="tiny"
    )
    model.save(folder / "tiny.keras")
    lq.deploy.export(model, folder / "tiny.onnx", verify=False)
    content = (folder / "tiny.onnx").read_bytes()
    (folder / "half.onnx").write_bytes(content[: len(content) // 2])
    (folder / "empty.onnx").touch()
    for name in ("text.onnx", "text.keras", "outfile"):
        (folder / name).write_text("int mine;\n")
    os.mkfifo(folder / "fifo.onnx")
    with open(folder / "huge.onnx", "wb") as file:
        file.truncate(3 << 30)
    for name in ("folder.onnx", "mine_c", "folders_c/tiny.c"):
        (folder / name).mkdir(parents=True)
    (folder / "mine_c" / "tiny.h").write_text("int mine;\n")
    relu = helper.make_node("Relu", ["x"], ["y"])
    foreign(folder / "newer.onnx", [["N", 3]], [relu], ir_version=14)
    foreign(folder / "older.onnx", [["N", 3]], [relu], opset=17)
    own = helper.make_node("Mine", ["x"], ["y"], domain="com.mine")
    foreign(folder / "own.onnx", [["N", 3]], [own], domain="com.mine")
    foreign(folder / "open.onnx", [["N", "M"]], [relu])
    still = numpy_helper.from_array(np.zeros((1, 3), np.float32))
    constant = helper.make_node("Constant", [], ["y"], value=still)
    foreign(folder / "closed.onnx", [], [constant])
    np.save(folder / "x.npy", np.zeros((2, 6), np.float32))
    np.save(folder / "five.npy", np.zeros((2, 5), np.float32))
    return folder


def contents(folder):
    """What lies in a folder, at all depths; of files, how large they are, and from when."""
    found = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {
        path: (path.is_dir() or (status.st_size, status.st_mtime_ns))
        for path, status in found.items()
    }


def require_refusals(folder, capsys, cases):
    """Each line of words gives the message behind it, and nothing else happens."""
    before = contents(folder)
    for line in cases.strip().splitlines():
        words, _, message = (part.strip() for part in line.partition("->"))
        with pytest.raises(SystemExit) as exit_:
            cli.main(shlex.split(words))
        said = capsys.readouterr()
        assert exit_.value.code == 2, (words, said)
        assert said.out == "", words
        assert re.search(message, said.err), (words, said.err)
        assert re.match(r"lq\b.*: .+[^.]\.?\n  Fix: \S.+\n$", said.err, re.DOTALL), (
            said.err
        )
        assert said.err.count("Fix: ") == 1, said.err
        assert contents(folder) == before, words


FILES = """
    text.onnx   -> damaged, incomplete, or no packed model
    half.onnx   -> damaged, incomplete, or no packed model
    empty.onnx  -> it is empty
    huge.onnx   -> it has 3,221,225,472 bytes
    folder.onnx -> folder.onnx is a folder
    none.onnx   -> none.onnx
    closed.onnx -> it has no input
    open.onnx   -> shape \\(batch, \\?\\)
    newer.onnx  -> ir_version.* 14; 8 to 11(.|\\n)*of another program: run it with onnxr
    older.onnx  -> version 17 of(.|\\n)*of another program: run it with onnxruntime
    own.onnx    -> operations of "com.mine"(.|\\n)*of another program: run it with
    tiny.keras  -> tiny.keras
"""


@pytest.mark.parametrize(
    "words",
    [
        "export {} out --to c",
        "export {} out.lqflat --to flat",
        "explain {}",
        "benchmark {}",
        "run {} --data x.npy",
    ],
)
def test_a_file_that_is_none_is_refused_by_every_command_that_reads_one(
    words, made, capsys, monkeypatch
):
    monkeypatch.chdir(made)
    cases = []
    for line in FILES.strip().splitlines():
        name, _, message = line.partition("->")
        is_model = name.strip() == "tiny.keras"
        if not (is_model and words.startswith("export")):
            cases.append(f"{words.format(name.strip())} -> {message}")
    require_refusals(made, capsys, "\n".join(cases))


def test_wrong_words_and_places_are_refused_before_anything_is_written(
    made, capsys, monkeypatch
):
    monkeypatch.chdir(made)
    require_refusals(
        made,
        capsys,
        """
        export tiny.onnx out --to -> export: --to has no value
        export tiny.onnx out --to --name net -> export: --to has no value
        export tiny.onnx out --to C -> none of .*Did you mean "c"
        export tiny.onnx out --to c --optimize sped -> Did you mean "speed"
        export tiny.onnx out --to c --name "" -> name='' is no name of C
        export tiny.onnx out --to c --name "9 lives" -> no name of C
        export tiny.onnx out --to c --pixels -> to_c: pixels=True, but no layer
        export tiny.onnx out --to c --samples none.npy -> --samples none.npy: there is no
        export tiny.onnx out --to c --samples five.npy -> have the shape \\(2, 5\\)
        export tiny.keras out.lqflat --to flat --samples x.npy -> --samples chooses how C
        export tiny.onnx outfile --to c -> "\\S*outfile" is no folder for "tiny.c"
        export tiny.onnx mine_c --to c -> "mine_c/tiny.h" is there already
        export tiny.onnx folders_c --to c -> tiny.c" is a folder.\\n  Fix: another folder
        export tiny.onnx outfile --to arduino -> is no folder
        export tiny.onnx /proc/here --to c -> nothing can be written to the folder "/proc"
        export tiny.onnx /proc/out.lqflat --to flat -> nothing can be written to the folder
        export fifo.onnx out --to c -> fifo.onnx is no regular file
        export tiny.onnx fpga.onnx --to hls4ml -> but a deployed model, for lq run
        export tyny.keras out.onnx -> Did you mean "tiny.keras"
        export text.keras out.onnx -> neither a .keras file, nor HDF5
        export mine_c out.onnx -> 'mine_c' holds no saved_model.pb
        export tiny.keras -> lq export: no word says where to write
        verify tiny.keras --on -> verify: --on has no value
        verify tiny.keras --on nativ -> Did you mean "native"
        verify tiny.keras --on c:cortex-m9 -> no variant "cortex-m9"
        verify tiny.keras tiny.onnx --samples many -> --samples many is no whole number
        verify tiny.keras tiny.onnx --samples 3.5 -> --samples 3.5 is no whole number
        verify tiny.keras tiny.onnx --samples -> --samples has no value
        verify tiny.keras tiny.onnx --samples 0 -> ^lq verify: --samples 0 is out of range
        verify tiny.keras tiny.onnx --samples 99999999999999 -> too little memory: .*PiB
        verify tiny.keras text.onnx --on native -> verify_on: text.onnx is damaged, or no
        verify tiny.keras half.onnx --on native -> verify_on: half.onnx is damaged, or no
        verify tiny.keras empty.onnx --on native -> verify_on: empty.onnx is damaged, or no
        verify tiny.keras own.onnx --on native -> own.onnx does not say which layers
        verify tiny.keras folder.onnx --on native -> folder.onnx is a folder
        explain tiny.onnx --engine nativ -> Did you mean "native"
        benchmark tiny.onnx --batch-size 99999999999999 -> too little memory
        qat tiny.keras --data x.npy --output out.onnx --epochs few -> few is no whole number
        integer quantize --model half.onnx --data x.npy --output out.onnx -> half.onnx is dam
        integer quantize --model closed.onnx --data x.npy --output out.onnx -> has no inputs
        integer quantize --model none.onnx --data x.npy --output out.onnx -> no file 'none
        """,
    )


@pytest.fixture
def full_disk():
    """The system refuses to let any file grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_nothing_and_the_place_is_named(
    made, capsys, monkeypatch, full_disk
):
    monkeypatch.chdir(made)
    why = os.strerror(errno.EFBIG)
    require_refusals(
        made,
        capsys,
        f"""
        export tiny.onnx out/deep --to c -> ^lq: out/deep/tiny.c: {why}.\\n  Fix: free space
        export tiny.onnx out --to arduino -> ^lq: out/src/tiny.c: {why}
        export tiny.onnx mine.lqflat --to flat -> ^lq: mine.lqflat: {why}
        run tiny.onnx --data x.npy --output out.npy -> out.npy: {why}
        """,
    )


def test_folders_of_others_stay_where_writing_fails(made, tmp_path, full_disk):
    (tmp_path / "theirs").mkdir()
    with pytest.raises(OSError, match="too large") as found:
        lq.deploy.to_c(made / "tiny.onnx", tmp_path / "theirs" / "made")
    assert found.value.filename == str(tmp_path / "theirs" / "made" / "tiny.c")
    assert list(tmp_path.rglob("*")) == [tmp_path / "theirs"]
