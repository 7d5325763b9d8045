"""larqlite-runtime-web: what its package holds; WebAssembly computes what portable kernels do."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile

import numpy as np
import pytest

import larqlite_runtime
from larqlite.deploy.targets.flat import flat_bytes
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.internal import EpilogueKind, StepKind, whole_program
from tests.common.programs import needs
from tests.devices.c_library import needs_kernels
from tests.devices.flat_steps import flat_of_step
from tests.devices.web_runtime import ROOT, WEB, needs_node, run_in_node
from tests.runtime import random_networks
from tests.runtime.steps import Case, random_case

MODULE = WEB / "larqlite.wasm"
SUMS = WEB / "larqlite.wasm.sums"
STEPS = 10  # of each kind
SEEDS = range(10)  # of random networks
MOST_BYTES, MOST_PACKED = 100_000, 35_000


def written_sums() -> dict[str, str]:
    lines = SUMS.read_text("utf-8").splitlines()[1:]
    return {name: digest for digest, name in (line.split() for line in lines)}


def test_the_module_is_made_of_the_files_that_are_here():
    """Fix: make wasm."""
    found = {
        name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        for name in written_sums()
    }
    assert found == written_sums()
    models = {f"native/model/{path.name}" for path in ROOT.glob("native/model/*.cc")}
    assert models | {"native/wasm.cc", "web/larqlite.wasm"} <= set(found)


@pytest.mark.targets
@needs("clang++", "wasm-ld", "/usr/include/wasm32-wasi")
def test_the_module_is_what_the_compiler_makes_of_them(tmp_path):
    """Its folder is counted from where the command is given."""
    subprocess.run([str(WEB / "build.sh"), "built"], cwd=tmp_path, check=True)
    tmp_path = tmp_path / "built"
    made = (tmp_path / SUMS.name).read_text("utf-8").splitlines()
    wanted = SUMS.read_text("utf-8").splitlines()
    assert made[1:-1] == wanted[1:-1]
    if made[0] == wanted[0]:  # the same compiler
        assert (tmp_path / MODULE.name).read_bytes() == MODULE.read_bytes()


def test_the_module_is_small():
    data = MODULE.read_bytes()
    assert len(data) <= MOST_BYTES
    assert len(gzip.compress(data, 9)) <= MOST_PACKED


@needs_node
def test_memory_ends_where_addresses_do():
    """All four gigabytes are handed out, to the last page, and can be once more."""
    script = """
      import { readFileSync } from "node:fs";
      const { instance } = await WebAssembly.instantiate(readFileSync("larqlite.wasm"));
      const { _initialize, malloc, free, memory } = instance.exports;
      _initialize();
      const all = () => {
        const taken = [];
        for (let size = 2 ** 28; size >= 16; size /= 2)
          for (let at; (at = malloc(size)) !== 0; ) taken.push([at >>> 0, size]);
        return taken;
      };
      const first = all();
      first.sort((a, b) => a[0] - b[0]);
      const end = (i) => i < 0 ? 0 : first[i][0] + first[i][1];
      const apart = first.every(([at], i) => end(i - 1) <= at);
      const bytes = first.reduce((sum, [, size]) => sum + size, 0);
      for (const [at] of first) free(at);
      console.log(JSON.stringify([memory.buffer.byteLength, apart, bytes, all().length > 0]));
    """
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(
        command, cwd=WEB, capture_output=True, text=True, timeout=120, check=True
    )
    size, apart, taken, again = json.loads(done.stdout)
    if size < 2**32:
        pytest.skip("there are no addresses for four gigabytes")
    assert apart
    assert again
    assert 2**32 - 2**20 < taken < 2**32 - 65_536


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as npm installs it, and what npm packed."""
    folder = tmp_path_factory.mktemp("npm")
    environment = os.environ | {"npm_config_cache": str(folder / "cache")}
    npm = [shutil.which("npm"), "--offline", "--no-audit", "--no-fund", "--silent"]

    def call(*words, cwd):
        subprocess.run([*npm, *words], cwd=cwd, env=environment, check=True)

    call("pack", "--pack-destination", str(folder), cwd=WEB)
    (packed,) = folder.glob("*.tgz")
    home = folder / "empty"
    home.mkdir()
    (home / "package.json").write_text('{"private": true}', encoding="utf-8")
    call("install", str(packed), cwd=home)
    return home, packed


@needs_node
@needs("npm")
@needs_kernels
def test_the_packed_package_runs_where_it_is_installed(installed, tmp_path):
    home, packed = installed
    proto, _ = random_networks.random_network(14)
    x = random_networks.random_input(proto, 2, 1)
    data = proto.SerializeToString()
    (home / "net.lqflat").write_bytes(flat_bytes(whole_program(data)))
    x["x"].tofile(home / "x.bin")
    script = """
      import { readFileSync } from "node:fs";
      import { load } from "larqlite-runtime-web";
      const model = await load("net.lqflat");
      const { buffer } = new Uint8Array(readFileSync("x.bin"));
      console.log(JSON.stringify([model.inputs, Array.from(model.run(new Float32Array(buffer)))]));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        cwd=home, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inputs, found = json.loads(done.stdout)
    shape = [None, *x["x"].shape[1:]]
    assert inputs == [{"name": "x", "type": "float32", "shape": shape}]
    (wanted,) = larqlite_runtime.load(data, isa="portable").run(x).values()
    np.testing.assert_array_equal(np.float32(found), wanted.ravel())
    with tarfile.open(packed) as tar:
        names = {name.removeprefix("package/") for name in tar.getnames()}
    assert names == {
        "LICENSE", "README.md", "index.d.ts", "index.js", "larqlite.wasm", "package.json",
    }  # fmt: skip


def test_the_package_says_what_it_is():
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    assert package["version"] == larqlite_runtime.__version__
    assert package.keys().isdisjoint({"dependencies", "scripts"})
    assert (WEB / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    code = (WEB / "index.js").read_text("utf-8")
    types = (WEB / "index.d.ts").read_text("utf-8")
    names = re.findall(r"^export (?:async )?(?:function|class) (\w+)", code, re.M)
    assert sorted(names) == ["LarqliteError", "isSupported", "load"]
    for name in names:
        assert re.search(rf"^export (function|class) {name}\b", types, re.M), name


def assert_networks_run(seeds) -> int:
    """Random networks for few images, for one, and for many in pieces; how many were whole."""
    cases = []
    for seed in seeds:
        network, _ = random_networks.random_network(seed)
        data = network.SerializeToString()
        calls = [
            random_networks.random_input(network, count, seed) for count in (2, 1, 9)
        ]
        with contextlib.suppress(larqlite_runtime.NoNativeStepError):
            cases.append((data, flat_bytes(whole_program(data)), calls))
    found = run_in_node([(flat, calls) for _, flat, calls in cases])
    for (data, _, calls), results in zip(cases, found, strict=True):
        model = larqlite_runtime.load(data, isa="portable")
        for x, result in zip(calls, results, strict=True):
            for name, wanted in model.run(x).items():
                np.testing.assert_array_equal(result[name], wanted)
    return len(cases)


@needs_node
@needs_kernels
def test_random_networks_compute_what_portable_kernels_do():
    """In one process; the memory of each grows with its calls."""
    assert assert_networks_run(SEEDS) == len(SEEDS)


@pytest.mark.targets
@needs_node
@needs_kernels
def test_many_random_networks_compute_what_portable_kernels_do():
    assert assert_networks_run(range(10, 400)) > 370


def assert_steps_run(seeds) -> set[EpilogueKind]:
    """All memory that random steps write, to the bit, in one process; their operations."""
    cases, flats, kinds = [], [], set()
    for kind in StepKind:
        for seed in seeds:
            case = random_case(seed, kind)
            case = Case(case.step, case.buffers, 1)
            cases.append(case)
            flats.append(flat_of_step(case))
            kinds |= {op.kind for op in case.step.ops}
    found = run_in_node([(data, [inputs]) for data, inputs, _ in flats])
    for case, (_, _, outputs), result in zip(cases, flats, found, strict=True):
        memory = (CBuffer * len(case.buffers))(
            *(CBuffer(buffer.ctypes.data, buffer.nbytes) for buffer in case.buffers)
        )
        _native.Part([case.step]).bind(memory, 1, 1, "portable")()
        assert isinstance(result, list), result
        for number in outputs:
            bits = result[0][f"b{number}"].view(np.uint8)[0]
            wanted = case.buffers[number].view(np.uint8)
            np.testing.assert_array_equal(bits, wanted, str(case.step))
    return kinds


@needs_node
@needs_kernels
def test_steps_of_every_kind_with_every_operation_are_those_of_portable_kernels():
    assert assert_steps_run(range(100, 100 + STEPS)) == set(EpilogueKind)


@pytest.mark.targets
@needs_node
@needs_kernels
def test_many_steps_are_those_of_portable_kernels():
    assert assert_steps_run(range(1000, 1100)) == set(EpilogueKind)
