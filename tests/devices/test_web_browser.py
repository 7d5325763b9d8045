"""larqlite-runtime-web in Chromium: what it computes there, and what it says of a bad file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import larqlite_runtime
from larqlite.deploy.targets.flat import flat_bytes
from larqlite_runtime.internal import whole_program
from tests.common.programs import needs
from tests.devices.c_library import needs_kernels
from tests.devices.web_runtime import WEB
from tests.runtime import random_networks

RUN = """async (values) => {
  const { load, isSupported } = await import("./index.js");
  const model = await load("net.lqflat");
  const found = model.run(Float32Array.from(values));
  const outputs = ArrayBuffer.isView(found) ? { [model.outputs[0].name]: found } : found;
  const said = await load("cut.lqflat")
    .then(() => "", (error) => `${error.name}: ${error.message}`);
  const missing = await load("none.lqflat").then(() => "", (error) => error.message);
  const listed = Object.entries(outputs).map(([name, x]) => [name, Array.from(x)]);
  return [isSupported(), listed, said, missing];
}"""


@needs("chromium", setup="apt-get install chromium")
@needs_kernels
def test_a_browser_computes_what_portable_kernels_do(tmp_path):
    pytest.importorskip("playwright", reason="needs the extra `docs`")
    from tools.docs_site import check

    for name in ("index.js", "larqlite.wasm"):
        shutil.copy(WEB / name, tmp_path)
    proto, _ = random_networks.random_network(3)
    data, x = proto.SerializeToString(), random_networks.random_input(proto, 3, 3)["x"]
    flat = flat_bytes(whole_program(data))
    (tmp_path / "net.lqflat").write_bytes(flat)
    (tmp_path / "cut.lqflat").write_bytes(flat[:-1])
    (tmp_path / "index.html").write_text("<title>x</title>")
    with check.served(tmp_path) as address, check.browser() as running:
        page = running.new_page()
        page.goto(f"{address}/index.html")
        values = json.loads(json.dumps(x.ravel().tolist()))
        supported, outputs, said, missing = page.evaluate(RUN, values)
    assert supported
    wanted = larqlite_runtime.load(data, isa="portable").run({"x": x})
    assert dict(outputs).keys() == wanted.keys()
    for name, array in outputs:
        np.testing.assert_array_equal(np.float32(array), wanted[name].ravel())
    assert said.startswith("LarqliteError: load: the flat file has")
    assert "404" in missing
