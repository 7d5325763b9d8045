"""`lq.deploy.to_arduino` and `lq export --to c` and `--to arduino`, as users write folders."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
import larqlite_runtime
from larqlite import cli
from larqlite.deploy.targets.c._interface import interface_of
from larqlite.deploy.targets.c._self_test import sample_of
from larqlite_runtime.internal import whole_program
from tests.common.programs import needs
from tests.devices.compilers import STRICT, run
from tests.runtime.files import model, node

RESIDUAL = Path(__file__).resolve().parents[1] / "golden" / "deploy_residual.onnx"
# As much of the Arduino core as the sketch takes; `main` runs it once.
ARDUINO = """\
#include <cstdio>
#include <cstring>
struct Port {
  explicit operator bool() const { return true; }
  void begin(long) {}
  void print(const char *text) { std::printf("%s", text); }
  void println(int value) { std::printf("%d\\n", value); }
  void println(unsigned long) { std::printf("(time)\\n"); }
  void println(float value, int digits) { std::printf("%.*f\\n", digits, double(value)); }
};
static Port Serial;
static unsigned long millis() { return 0; }
static unsigned long micros() { return 0; }
static void delay(int) {}
"""


@needs("gcc", "g++")
def test_the_sketch_of_a_library_runs_the_network(tmp_path) -> None:
    report = lq.deploy.to_arduino(RESIDUAL, tmp_path / "lib", name="net")
    src = tmp_path / "lib" / "src"
    assert report.files[0] == src / "net.c"
    properties = (tmp_path / "lib" / "library.properties").read_text()
    known = dict(re.findall(r"^(\w+)=(.+)$", properties, re.M))
    wanted = (
        "name version author maintainer sentence paragraph category url architectures"
    )
    assert set(wanted.split()) <= set(known)
    assert known["includes"] == "net.h"
    sketch = (tmp_path / "lib" / "examples" / "net" / "net.ino").read_text()
    main = f"{ARDUINO}{sketch}\nint main() {{ setup(); loop(); }}\n"
    (tmp_path / "main.cc").write_text(main)
    # The flags of the Arduino tools, which users cannot change.
    run(["gcc", "-std=gnu11", "-Os", "-c", str(src / "net.c")], cwd=tmp_path)
    command = ["g++", "-std=gnu++17", f"-I{src}", "-Os", "main.cc", "net.o"]
    run([*command, "-o", "sketch"], cwd=tmp_path)
    test, _, *printed = run([str(tmp_path / "sketch")]).splitlines()
    assert test == "self-test (0: as it should be): 0"
    model = larqlite_runtime.load(RESIDUAL, threads=1, isa="portable")
    (expected,) = model(np.zeros((1, 12, 12, 3), np.float32))
    np.testing.assert_allclose(np.float32(printed), expected, atol=2e-6)


@needs("gcc")
def test_the_command_writes_folders(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["export", str(RESIDUAL), "c", "--to", "c", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == ["c/deploy_residual.c", "c/deploy_residual.h"]
    assert found["ram_bytes"] == found["arena_bytes"] + found["scratch_bytes"]
    run(["gcc", *STRICT, "-c", "c/deploy_residual.c"])
    words = ["export", str(RESIDUAL), "lib", "--to", "arduino", "--name", "net"]
    cli.main(words)
    assert "wrote lib" in capsys.readouterr().out
    assert (tmp_path / "lib" / "examples" / "net" / "net.ino").is_file()
    (tmp_path / "lib" / "keywords.txt").write_text("mine\n")
    (tmp_path / "lib" / "src" / "net.c").write_text(
        "/* Written by larqlite: an old one */"
    )
    with pytest.raises(SystemExit):
        cli.main(words)
    assert "keywords.txt" in capsys.readouterr().err
    assert "an old one" in (tmp_path / "lib" / "src" / "net.c").read_text()
    with pytest.raises(SystemExit):
        cli.main(["export", str(RESIDUAL), "net.onnx", "--name", "net"])
    assert "name in C" in capsys.readouterr().err


def test_inputs_of_the_self_test_are_as_many_as_the_network_takes() -> None:
    whole = whole_program(RESIDUAL)
    (sample,) = sample_of(interface_of(whole, "net")).values()
    assert sample.shape == (12, 12, 3)
    assert -2 <= sample.min() < -1 < 1 < sample.max() < 2


@needs("arm-none-eabi-gcc", "gcc")
def test_the_report_knows_code_and_stack(tmp_path) -> None:
    report = lq.deploy.to_c(RESIDUAL, tmp_path, name="net")
    common = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard"]
    flags = ["-mfpu=fpv4-sp-d16", "-O2", "-std=c99", "-DNET_NO_SELF_TEST", "-c"]
    run([*common, *flags, "net.c"], cwd=tmp_path)
    said = subprocess.run(
        ["arm-none-eabi-size", "net.o"], cwd=tmp_path, capture_output=True, text=True
    )
    text, data, bss = map(int, said.stdout.splitlines()[1].split()[:3])
    assert (report.flash_bytes, data) == (text, 0)
    assert bss == report.ram_bytes
    assert report.arena_bytes <= 1.05 * report.bound_bytes
    assert report.table_bytes < report.flash_bytes
    assert 50 < report.stack_bytes < 1000
    html, shown = report._repr_html_(), str(report)
    for cell in (f"{report.instructions:,}", f"{report.stack_bytes:,} bytes in a call"):
        assert cell in html
        assert cell in shown


@needs("gcc")
def test_names_of_a_file_are_text_and_never_code(tmp_path) -> None:
    named = 'x */ int broken; /* "\u00e9'
    add = node("Add", "first second", "y")
    add.name = "input"
    add.input[0] = named
    content = model([add], {named: (4, 3, 3), "second": (4, 3, 3)}, {"y": None}, {})
    content = content.SerializeToString()
    lq.deploy.to_arduino(content, tmp_path / "lib", name="net")
    run(["gcc", *STRICT, "-c", str(tmp_path / "lib" / "src" / "net.c")], cwd=tmp_path)
    sketch = (tmp_path / "lib" / "examples" / "net" / "net.ino").read_text()
    assert sketch.count("*/") == 2
