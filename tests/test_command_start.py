"""How the commands begin: without TensorFlow, at once, and interrupted without a traceback."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from larqlite_runtime import cli

ROOT = Path(__file__).resolve().parent.parent
# What a device has not got.
ABSENT = (
    "tensorflow", "tf_keras", "keras", "matplotlib", "rich", "h5py", "tyro", "tensorboard",
    "onnx",
)  # fmt: skip


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A folder with a file to run and data, where TensorFlow and the others are absent."""
    folder = tmp_path_factory.mktemp("device")
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in ("x", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "relu", tensors[:1], tensors[1:]
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, ir_version=9, opset_imports=opset)
    save_model(model, folder / "net.onnx")
    np.savez(folder / "data.npz", x=np.eye(3, dtype="float32"), y=np.arange(3))
    return folder


@pytest.fixture(scope="module")
def on_the_device(device):
    """What `lq` and `lqz` say there: code, output and errors of each line of words."""
    lines = [
        "lq", "lq --help", "lq --version", "lq -h", "lq sumary", "lq --verison",
        "lq run net.onnx --data data.npz", "lq run --help", "lq benchmark --help",
        "lq benchmark net.onnx --seconds 0.02 --threads 1", "lq benchmark",
        "lq benchmark net.onnx --model net.keras", "lq benchmark net.onnx -o bars.png",
        "lq run net.onnx --dta data.npz", "lq explain net.onnx",
        "lqz", "lqz --help", "lqz --version", "lqz lst",
        *(f"lq {name}" for name in cli.COMMANDS if name not in ("run", "benchmark")),
        *(f"lqz {name} x" for name in cli.ZOO_COMMANDS),
        "lq --tyro-print-completion bash", "lqz completion bash",
    ]  # fmt: skip
    code = f"""
import contextlib, io, json, sys
for name in {ABSENT}:
    sys.modules[name] = None  # an import fails
import larqlite_runtime
from larqlite_runtime import cli
found = {{"version": larqlite_runtime.__version__}}
for line in {lines}:
    program, *words = line.split()
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            {{"lq": cli.main, "lqz": cli.zoo}}[program](words)
        except SystemExit as exit_:
            code = exit_.code or 0
    found[line] = [code, out.getvalue(), err.getvalue()]
for name in ("larqlite", "larqlite_zoo"):
    try:
        __import__(name)
    except ImportError as error:
        found[name] = str(error)
print(json.dumps(found))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=device,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_no_command_is_a_traceback_on_a_device(on_the_device):
    for line, answer in on_the_device.items():
        if not isinstance(answer, list):
            continue
        code, out, err = answer
        assert "Traceback" not in out + err, line
        assert code in (0, 2), line
        assert (code == 2) == bool(err), (line, err)
        assert code == 0 or "Fix: " in err, line


def test_what_needs_no_tensorflow_works_there(on_the_device):
    assert (
        "accuracy: 100.00 % of 3" in on_the_device["lq run net.onnx --data data.npz"][1]
    )
    line = "lq benchmark net.onnx --seconds 0.02 --threads 1"
    assert re.search(r"\| onnxruntime +\d", on_the_device[line][1])
    explained = on_the_device["lq explain net.onnx"][1]
    assert "stage 1: a segment, onnxruntime" in explained
    assert on_the_device["lq --version"][1] == f"larqlite {on_the_device['version']}\n"
    for name, text in cli.COMMANDS.items():
        assert re.search(
            rf"^  {name} +{text.split()[0]} ", on_the_device["lq --help"][1], re.M
        )
    assert "--version" in on_the_device["lq --help"][1]


def test_what_needs_it_says_so_with_the_fix(on_the_device):
    for name in ("quantizers", "summary", "plot", "qat", "export", "verify", "demo"):
        code, _, err = on_the_device[f"lq {name}"]
        assert code == 2
        assert f"lq {name} needs TensorFlow, which is not installed here" in err
        assert 'pip install "tensorflow>=2.16.1,<2.22" "tf-keras' in err
    assert "lqz train needs TensorFlow" in on_the_device["lqz train x"][2]
    assert (
        "Without --model" in on_the_device["lq benchmark net.onnx --model net.keras"][2]
    )
    assert (
        "pip install matplotlib"
        in on_the_device["lq benchmark net.onnx -o bars.png"][2]
    )
    for name in ("larqlite", "larqlite_zoo"):
        assert "larqlite needs TensorFlow" in on_the_device[name]
        assert "import larqlite_runtime" in on_the_device[name]


def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(on_the_device):
    for line, meant in (
        ("lq sumary", "summary"),
        ("lq --verison", "--version"),
        ("lq run net.onnx --dta data.npz", "--data"),
        ("lqz lst", "list"),
    ):
        assert f'Did you mean "{meant}"' in on_the_device[line][2]


@pytest.fixture
def without_an_import(tmp_path):
    """Runs `python -m MODULE WORDS` where an import of TensorFlow, or of what else is named,
    ends the process."""

    def run(*words, module="larqlite", forbidden=("tensorflow",)):
        fake = tmp_path / "fake"
        for name in forbidden:
            (fake / name).mkdir(parents=True, exist_ok=True)
            (fake / name / "__init__.py").write_text("import os; os._exit(77)\n")
        path = os.pathsep.join([str(fake), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("larqlite --version", "larqlite "),
        ("larqlite --help", "integer"),
        ("larqlite sumary net.keras", 'Did you mean "summary"'),
        ("larqlite run --dta x.npz", 'Did you mean "--data"'),
        ("larqlite benchmark --help", "--seconds"),
        ("larqlite_zoo --version", "larqlite_zoo "),
        ("larqlite_zoo lst", 'Did you mean "list"'),
    ],
)
def test_help_and_words_that_are_no_command_need_nothing_at_all(
    without_an_import, line, said
):
    module, *words = line.split()
    result = without_an_import(
        *words, module=module, forbidden=("tensorflow", "numpy", "tyro", "rich")
    )
    assert result.returncode in (0, 2), result.stderr
    assert said in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("larqlite summary --help", "MODEL"),
        ("larqlite qat net.keras --dta x.npz", 'Did you mean "--data"'),
        ("larqlite integer quantze -m net.keras", 'Did you mean "quantize"'),
        (
            "larqlite integer export --input-dtype int7",
            "int7 is none of uint8, int8, int32",
        ),
        ("larqlite export net.keras", "FILE"),
        ("larqlite_zoo list --jsn", 'Did you mean "--json"'),
        ("larqlite_zoo evaluate --help", "--dataset"),
        ("larqlite_zoo train quicknet --epohcs 3", 'Did you mean "--epochs"'),
        ("larqlite_zoo train TrainBinaryVGGSmall --help", "--learning-rate"),
        ("larqlite_zoo train --epochs 3", "comes first"),
    ],
)
def test_words_are_read_before_tensorflow_is_imported(without_an_import, line, said):
    module, *words = line.split()
    result = without_an_import(*words, module=module, forbidden=("tensorflow", "numpy"))
    assert result.returncode in (0, 2), result.stderr
    assert said in result.stdout + result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "larqlite --help",
        "larqlite summary net.keras --jsn",
        "larqlite_zoo --help",
        "larqlite_zoo train binary_vgg_small --epohcs 3",
    ],
)
def test_it_takes_no_third_of_a_second_of_computing(tmp_path, line):
    """The best of some: what else runs on a machine slows a process down, too."""
    module, *words = line.split()
    used = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=240,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if used[-1] < 0.3:
            break
    assert min(used) < 0.3, used


def test_a_command_that_is_understood_imports_it(without_an_import):
    assert without_an_import("quantizers").returncode == 77
    assert without_an_import("list", module="larqlite_zoo").returncode == 77


def test_an_interruption_while_tensorflow_is_imported_is_no_traceback(tmp_path):
    fake = tmp_path / "tensorflow"
    fake.mkdir()
    (fake / "__init__.py").write_text(
        "import pathlib, sys, time\n"
        "print('noise of the import', file=sys.stderr)\n"
        "pathlib.Path('begun').touch()\n"
        "time.sleep(60)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, "-m", "larqlite", "quantizers"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes what it runs in the background deaf to interruptions.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for _ in range(2400):
            if (tmp_path / "begun").exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "lq: stopped\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_no_traceback(device, closed):
    line = f"{sys.executable} -m larqlite_runtime run net.onnx --data data.npz {closed}"
    result = subprocess.run(
        ["sh", "-c", line],
        cwd=device,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert ("accuracy" in result.stdout) == (closed[:3] != ">&-")
