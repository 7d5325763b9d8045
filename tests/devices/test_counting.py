"""Instructions of generated C are counted in QEMU, and stay as few as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from larqlite.deploy.targets._boards import BOARDS
from tests.common.programs import needs

DEVICES = Path(__file__).resolve().parents[2] / "benchmarks" / "devices"
ARM, RISCV = BOARDS["cortex-m4"], BOARDS["rv32"]
LOOP = """
int main(void);
__attribute__((noinline)) void loop(int count);
void loop(int count) {
#if defined(__arm__)
  __asm__ volatile(".syntax unified\\n1: nop\\nsubs %0, #1\\nbne 1b" : "+l"(count) : : "cc");
#else
  __asm__ volatile("1: nop\\naddi %0, %0, -1\\nbnez %0, 1b" : "+r"(count));
#endif
}
int main(void) { loop(100000); return 0; }
"""


@pytest.fixture(scope="module")
def devices():
    """The modules of the benchmark."""
    sys.path.insert(0, str(DEVICES))
    import counting
    import layers
    import run

    yield counting, layers, run
    sys.path.remove(str(DEVICES))
    for name in ("counting", "layers", "run"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    "board",
    [pytest.param(b, marks=needs("gcc", *b.programs), id=b.name) for b in (ARM, RISCV)],
)
def test_a_loop_of_known_length_is_counted_to_the_instruction(
    board, devices, tmp_path
) -> None:
    source = tmp_path / "loop.c"
    source.write_text(LOOP)
    found = devices[0].counted(board, board.build([source], tmp_path))
    assert found["loop"] == 3 * 100_000 + 1  # and the return


@needs("gcc", *ARM.programs)
def test_a_binary_layer_takes_a_tenth_of_the_instructions_of_int8(
    devices, tmp_path
) -> None:
    counting, layers, run = devices
    path = layers.layer_file(32, 16, tmp_path)
    for core in ("cortex-m0", "cortex-m4"):
        program = layers.layer_program(path, "sets")
        source = tmp_path / f"{core}.c"
        source.write_text(f"int main(void);\n{program.text}")
        found = counting.counted(BOARDS[core], BOARDS[core].build([source], tmp_path))
        own = sum(found[name] for name in found if name not in run.NOT_COUNTED)
        reach, _ = (both[1] for both in run.REACH[core])
        assert own / program.products <= reach
