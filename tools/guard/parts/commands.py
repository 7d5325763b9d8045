"""What `lq`, `lqz` and the runtime's command print: help, lists, mistakes, small jobs."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import subprocess
import sys

import numpy as np

_TIME = re.compile(r"\b\d[\d.,]*(?:e-?\d+)? (s|ms|us|ns)\b")

HELP = {
    "lq": """
quantizers
summary
plot
plot quantizer
plot weights
plot history
qat
integer
integer quantize
integer config
integer check
integer insert-rescaling
integer export
export
verify
run
benchmark
demo
    """,
    "lqz": """
list
card
train
evaluate
    """,
}
MISTAKES = {
    "lq": """
sumary
--helf
summary
summary nothing.keras
plot quantizer swish_sing
plot weights nothing.h5
plot history no.csv
export nothing.keras out.onnx
export network.keras out.txt
export network.keras nowhere/out.onnx
verify network.keras nothing.onnx
verify nothing.keras network.onnx
run
run nothing.onnx --data data.npz
run network.onnx --data nothing.npz
run network.onnx --data bad.npy
run network.onnx --data data.npz --batch 0
run network.onnx --dta data.npz
run data.npz --data data.npz
benchmark network.onnx --against nobody
run network.onnx --data data.npz --output out.txt
qat network.keras
qat nothing.keras --data data.npz
qat network.keras --data nothing.npz
qat network.keras --data data.npz --scheme int99
integer
integer quantize -m nothing.keras
integer check -m network.keras
integer export -m network.keras --to qdq -o out.onnx
integer export
integer config -m nothing.keras
integer quantize -m network.keras -w 99
quantizers --import nothing_like_it
benchmark nothing.onnx
    """,
    "lqz": """
lst
card nothing
card quicknt
train Nothing
list nothing*
evaluate nothing
train TrainBiRealNet --no-such-flag 1
list --jsn
    """,
}
# `--samples FILE`, `--save`, `-s FILE`, `-d` and `--batch` are flags as they were called
# before all commands had one set: commits before it know no others, and now they still
# mean the same, with a notice. So both sides of a comparison do the job.
JOBS = {
    "lq": """
--version
quantizers
quantizers --json
summary network.keras
summary network.keras --json
summary network.keras --no-macs
export network.keras again.onnx
export network.keras q.onnx --qonnx
export network.keras again.onnx --json --no-verify
verify network.keras network.onnx --data data.npz
verify network.keras network.onnx --data data.npz --json
run network.onnx --data data.npz --threads 1 --output outputs.npz
integer quantize -m network.keras --samples pixels.npz -s integers.keras
integer check -m integers.keras
integer config -m integers.keras
integer export -m integers.keras --to onnx -o i.onnx --samples pixels.npz
integer insert-rescaling -m network.keras -d scaled.keras --scale 0.1
qat network.keras --data data.npz -o small.tflite
plot quantizer ste_sign --output sign.png
    """,
    "lqz": """
--version
list
list --json
list --recipes
list --datasets
card quicknet
card birealnet --json
list *net*18*
    """,
}
PROCESSES = [
    "larqlite --version",
    "larqlite sumary",
    "larqlite_zoo --help",
    "larqlite_runtime run nothing.onnx --data data.npz",
    "larqlite_runtime run network.onnx --data data.npz --json",
]


def entries() -> dict:
    """Help, mistakes, jobs; each a field by its words, in the order above."""
    found = {}
    for program in ("lq", "lqz"):
        helps = [f"{words} --help".strip() for words in _each(HELP[program])]
        found[f"{program}_help"] = functools.partial(_run, program, helps)
        found[f"{program}_mistakes"] = functools.partial(
            _run, program, _each(MISTAKES[program]), _files
        )
        found[f"{program}_jobs"] = functools.partial(
            _run, program, _each(JOBS[program])[1:]
        )
    found["recipes"] = _recipes
    found["processes"] = _processes
    return found


def _each(text: str) -> list[str]:
    """The command without words, and a command a line."""
    return ["", *(line.strip() for line in text.strip().splitlines())]


def _run(program: str, commands: list[str], before=None):
    if before:
        before()
    for words in commands:
        yield words or "(no words)", _said(program, words)


def _said(program: str, words: str) -> str:
    from larqlite_runtime import cli
    from larqlite_zoo import cli as zoo_cli

    # `zoo` came with the commands that start without TensorFlow.
    main = cli.main if program == "lq" else getattr(cli, "zoo", zoo_cli.main)
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words.split())
        except SystemExit as exit_:
            code = exit_.code
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    return _timeless(f"exit code {code}\n{out.getvalue()}\nerrors:\n{err.getvalue()}")


def _timeless(text: str) -> str:
    text = re.sub(r'"seconds": [\d.e-]+', '"seconds": <time>', text)
    text = re.sub(r"\([^()]* bytes\)", "(<size>)", text)  # files of Keras hold the date
    return _TIME.sub(r"<time> \1", text)


def _files() -> None:
    """A network of one binary layer, its file, and data."""
    import tf_keras

    import larqlite as lq

    from ..models import L, Q, images, low_bit, row

    tf_keras.utils.set_random_seed(1)
    model = row(
        (8, 8, 3),
        L.Conv2D(8, 3, use_bias=False, name="stem"),
        L.BatchNormalization(name="norm"),
        Q.QuantConv2D(16, 3, name="binary", **low_bit()),
        L.GlobalAveragePooling2D(name="mean"),
        L.Dense(5, name="labels"),
        name="network",
    )
    model.save("network.keras")
    lq.deploy.export(model, "network.onnx")
    pixels = images((8, 8, 3), 24)
    np.savez("pixels.npz", x=pixels)
    x = pixels / np.float32(64) - 2
    np.savez("data.npz", x=x, y=model.predict(x, verbose=0).argmax(-1))
    np.save("bad.npy", np.zeros((2, 3), "float32"))


def _recipes():
    """The flags of two recipes; there is a command for each, with nearly the same ones."""
    from larqlite_zoo import training

    yield "names", sorted(name for name in dir(training) if not name.startswith("_"))
    for name in ("TrainBinaryResNet20", "TrainBiRealNet", "TrainQuickNet"):
        yield name, _said("lqz", f"train {name} --help")


def _processes():
    for words in PROCESSES:
        done = subprocess.run(
            [sys.executable, "-m", *words.split()],
            capture_output=True,
            text=True,
            env=os.environ,
        )
        said = f"exit code {done.returncode}\n{done.stdout}\nerrors:\n{done.stderr}"
        yield words, _timeless(said)
