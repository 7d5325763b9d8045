"""The target wasm: flat files in Node, run by the npm package `larqlite-runtime-web`."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from larqlite.deploy._run_program import PATIENCE, how_it_ended, run_program
from larqlite.deploy.targets._target import (
    DeployedNetwork,
    Target,
    TargetCost,
    program_of_part,
)
from larqlite.deploy.targets.flat import flat_bytes
from larqlite.deploy.verifier.internal import Arrays, Run
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.internal import WholeProgram, whole_program

# Where the package is, if not in the folder `web` of a checkout.
VARIABLE = "LARQLITE_WEB"
_REPEATED = 51
# Where there are many modules, the collector of Node 20 now and then waits for its helpers forever.
FLAGS = ("--single-threaded", "--expose-gc")

_SCRIPT = """\
import { readFileSync, writeFileSync } from "node:fs";
const { load } = await import(process.argv[2]);
const jobs = JSON.parse(readFileSync("jobs.json", "utf8"));
const times = [];
// Engines reserve gigabytes of addresses for each model, until they look whether it is gone.
const EVERY = 50;
for (const job of jobs) {
  if (times.length % EVERY === 0) gc();
  const model = await load(job.file);
  const given = {};
  for (const tensor of model.inputs) {
    const bytes = readFileSync(job.inputs[tensor.name]);
    given[tensor.name] = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }
  const inputs = model.inputs.length === 1 ? given[model.inputs[0].name] : given;
  let outputs = model.run(inputs);
  const taken = [];
  for (let i = 0; i < job.repeat; ++i) {
    const begin = performance.now();
    outputs = model.run(inputs);
    taken.push(performance.now() - begin);
  }
  if (model.outputs.length === 1) outputs = { [model.outputs[0].name]: outputs };
  for (const [name, file] of Object.entries(job.outputs)) writeFileSync(file, outputs[name]);
  times.push(taken.sort((a, b) => a - b)[job.repeat >> 1] ?? null);
}
writeFileSync("times.json", JSON.stringify(times));
"""


def package() -> Path | None:
    """The folder of the npm package; None if there is none."""
    found = Path(os.environ.get(VARIABLE) or Path(__file__).parents[3] / "web")
    return found.absolute() if (found / "larqlite.wasm").is_file() else None


def missing(variant: str = "") -> str:
    """What is not installed."""
    if shutil.which("node") is None:
        return "no node: install Node.js from 16.4 on (Debian: nodejs)"
    if package() is None:
        named = os.environ.get(VARIABLE)
        return (
            f"no larqlite-runtime-web{f' in {named}' if named else ''}: npm install "
            f"larqlite-runtime-web, and its folder in the variable {VARIABLE}"
        )
    return ""


@dataclass(frozen=True)
class NodeRun:
    """What Node gave.

    Attributes:
        outputs: of each network.
        milliseconds: of a run of each; None if it was not repeated.
    """

    outputs: list[Arrays]
    milliseconds: list[float | None]


def run_in_node(
    networks: Sequence[tuple[WholeProgram, Mapping[str, np.ndarray]]],
    folder: Path,
    repeat: int = 0,
) -> NodeRun:
    """Runs networks in one process of Node.

    Args:
        networks: each with its inputs by name, the samples on the first axis.
        folder: for what is written.
        repeat: how often each runs to be timed.

    Raises:
        UnsupportedModelError: Node, or the runtime in it, refuses one, or takes too long.
    """
    jobs = []
    for number, (whole, inputs) in enumerate(networks):
        file = folder / f"{number}.lqflat"
        file.write_bytes(flat_bytes(whole))
        given = {}
        for place, item in enumerate(whole.inputs):
            at = given[item.name] = f"{number}.in.{place}"
            np.ascontiguousarray(inputs[item.name], item.dtype).tofile(folder / at)
        made = {
            item.name: f"{number}.out.{place}"
            for place, item in enumerate(whole.outputs)
        }
        jobs.append(
            {"file": file.name, "inputs": given, "outputs": made, "repeat": repeat}
        )
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    (folder / "run.mjs").write_text(_SCRIPT, encoding="utf-8")
    command = [
        "node",
        *FLAGS,
        "run.mjs",
        (package() / "index.js").resolve().as_uri(),
    ]
    fix = "fewer samples, such as 1, or the target native."
    done = run_program(command, "wasm", fix, folder=folder, patience=PATIENCE)
    if done.returncode:
        raise UnsupportedModelError(
            f"wasm: Node {how_it_ended(done)}:\n{done.stderr[-2000:]}\n"
            "  Fix: what it says; if the network runs elsewhere, please report this."
        )
    outputs = [
        _outputs(whole, inputs, folder, job["outputs"])
        for (whole, inputs), job in zip(networks, jobs, strict=True)
    ]
    times = json.loads((folder / "times.json").read_text(encoding="utf-8"))
    return NodeRun(outputs, times)


def _outputs(
    whole: WholeProgram, inputs: Mapping[str, np.ndarray], folder: Path, files: dict
) -> Arrays:
    samples = len(next(iter(inputs.values())))
    found = {
        item.name: np.fromfile(folder / files[item.name], item.dtype).reshape(
            (samples, *item.shape[1:])
        )
        for item in whole.outputs
    }
    for name, array in whole.constants.items():
        found[name] = np.broadcast_to(array, (samples, *array.shape[1:]))
    return found


class WasmTarget:
    """Flat files of the network, and of parts of it."""

    name = "wasm"

    def __init__(self, network: DeployedNetwork, variant: str) -> None:
        self._file = network.file
        # What has no step is refused here.
        self._whole = whole_program(self._file.content)
        self.what = f"WebAssembly with SIMD, Node {_node_version()}"

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors of the file from others."""
        if self._file.is_all(inputs, outputs):
            return self.whole()
        return self._run_of(program_of_part(self._file, inputs, outputs))

    def whole(self) -> Run:
        """A function that runs the whole file."""
        return self._run_of(self._whole)

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""
        return {node: "wasm" for entry in self._file.entries for node in entry.nodes}

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes."""
        with TemporaryDirectory() as folder:
            found = run_in_node([(self._whole, inputs)], Path(folder), _REPEATED)
        size = len(flat_bytes(self._whole))
        return TargetCost(size, "flat file", milliseconds=found.milliseconds[0])

    def _run_of(self, whole: WholeProgram) -> Run:
        def run(arrays: Arrays) -> Arrays:
            with TemporaryDirectory() as folder:
                return run_in_node([(whole, arrays)], Path(folder)).outputs[0]

        return run


@functools.cache
def _node_version() -> str:
    done = run_program(["node", "--version"], "wasm", "install Node.js anew.")
    return done.stdout.strip().removeprefix("v")


TARGETS = (Target("wasm", WasmTarget, missing=missing),)
