"""The machines that C is run on: they compute as written, and count what they execute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from larqlite.deploy.targets._boards import BOARDS, HERE
from larqlite.errors import MissingFileError, UnsupportedModelError
from tests.common.programs import needs

# `loop` is written by hand, so that its instructions can be counted on paper.
MAIN = r"""
#include <stddef.h>
#include <stdint.h>
void machine_open(int which);
void machine_read(void *to, size_t bytes);
void machine_write(const void *from, size_t bytes);
void machine_start(void);
uint64_t machine_taken(void);
static float x[4];
static int on_flash = 7;
static __attribute__((noinline)) void loop(int count) {
#if defined(__arm__)
  __asm__ volatile(".syntax unified\n1: nop\nnop\nsubs %0, #1\nbne 1b" : "+l"(count) : : "cc");
#elif defined(__riscv)
  __asm__ volatile("1: nop\nnop\naddi %0, %0, -1\nbnez %0, 1b" : "+r"(count));
#else
  for (volatile int i = 0; i < count; ++i) {}
#endif
}
int main(void) {
  machine_open(0);
  machine_open(1);
  machine_read(x, sizeof x);
  for (int i = 0; i < 4; ++i) x[i] = x[i] * 1.1f + (float)on_flash;
  machine_write(x, sizeof x);
  for (int k = 1; k < 3; ++k) {
    machine_start();
    loop(k * 100000);
    uint64_t taken = machine_taken();
    machine_write(&taken, sizeof taken);
  }
  return 0;
}
"""


def built(board, folder, text=MAIN):
    (folder / "main.c").write_text(text)
    return board.build([folder / "main.c"], folder)


@pytest.mark.parametrize(
    "board",
    [
        pytest.param(board, marks=needs(*board.programs), id=board.name)
        for board in (HERE, *BOARDS.values())
    ],
)
def test_a_machine_rounds_as_numpy_and_counts_its_instructions(board, tmp_path):
    x = np.array([1, 2, 3, 4.5], np.float32)
    x.tofile(tmp_path / "in.bin")
    program = built(board, tmp_path)
    board.run(program)
    written = (tmp_path / "out.bin").read_bytes()
    expected = x * np.float32(1.1) + np.float32(7)  # two roundings, not one
    assert written[:16] == expected.tobytes()
    first, second = np.frombuffer(written[16:], np.uint64)
    if board is HERE:
        assert 0 < first < 10**9
    else:
        # Four instructions a turn; ticks of the timer are 40 of them.
        assert abs(int(first) - 400_000) <= 80
        assert abs(int(second) - 800_000) <= 80
    flash, ram = board.sizes(program)
    assert flash > 500
    assert ram >= 16 + 4


@pytest.mark.parametrize(
    ("name", "turns"),
    [
        *(
            pytest.param(name, 10**7, marks=needs(*BOARDS[name].programs))
            for name in ("cortex-m0", "microbit", "cortex-m7")
        ),
        pytest.param(
            "rv32", 6 * 10**8, marks=[pytest.mark.slow, needs(*BOARDS["rv32"].programs)]
        ),
    ],
)
def test_a_counter_that_begins_anew_is_counted_on(name, turns, tmp_path):
    """24 bits of ticks are 671 million instructions: rounds are of 16 bits here. The 32 bits of
    the other counter are 4,295 million."""
    board = BOARDS[name]
    np.zeros(4, np.float32).tofile(tmp_path / "in.bin")
    if name != "rv32":
        assert "ROUND 0x1000000u" in board.boot
        short = board.boot.replace("ROUND 0x1000000u", "ROUND 0x10000u")
        board = replace(board, boot=short)
    board.run(built(board, tmp_path, MAIN.replace("100000", str(turns))))
    written = (tmp_path / "out.bin").read_bytes()
    for count, found in enumerate(np.frombuffer(written[16:], np.uint64), 1):
        # What counts a round takes some instructions itself: there are 31 of them at most.
        assert abs(int(found) - count * 4 * turns) <= 80 + 31 * 20


@needs(*BOARDS["cortex-m4"].programs)
def test_what_takes_too_long_is_ended_and_said(tmp_path):
    board = BOARDS["cortex-m4"]
    program = built(board, tmp_path, "int main(void) { for (;;) { } }")
    with pytest.raises(
        UnsupportedModelError,
        match=r"cortex-m4: qemu-system-arm was stopped after 0\.2 s[\s\S]*Fix: fewer",
    ):
        board.run(program, 0.2)


def test_a_compiler_that_does_not_start_is_said(tmp_path):
    nowhere = replace(HERE, compiler=(str(tmp_path / "none"),))
    with pytest.raises(MissingFileError, match=r"host: .*none does not start: No such"):
        built(nowhere, tmp_path)


@needs("cc")
def test_what_does_not_compile_or_end_well_is_said(tmp_path):
    with pytest.raises(
        UnsupportedModelError, match=r"host: cc ended with code 1:[\s\S]*Fix:"
    ):
        built(HERE, tmp_path, "int main(void) { return nothing; }")
    program = built(HERE, tmp_path, "int main(void) { return 7; }")
    with pytest.raises(UnsupportedModelError, match="the program ended with code 7"):
        HERE.run(program)
