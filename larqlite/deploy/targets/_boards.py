"""Machines that a program in C is built for and run on: this one, and cores that QEMU emulates.

QEMU executes the instructions of a core and counts them; it knows neither cycles nor caches.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from larqlite.deploy._run_program import PATIENCE, how_it_ended, run_program
from larqlite.errors import UnsupportedModelError

_M = ("arm-none-eabi-gcc", "-mthumb")
_V = ("riscv64-unknown-elf-gcc", "--specs=picolibc.specs", "-mcmodel=medany")
# Nothing is computed otherwise than it is written: no product and sum at once.
FLAGS = (
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections",
)
_SEMIHOSTING = ("-nographic", "-semihosting-config", "enable=on,target=native")
_SETUP = "make devices-setup in a checkout, or Debian's packages gcc-arm-none-eabi, "
_SETUP += "libnewlib-arm-none-eabi, qemu-system-arm, gcc-riscv64-unknown-elf, "
_SETUP += "picolibc-riscv64-unknown-elf, qemu-system-misc"
_SMALLER = "a machine that is less busy, or a smaller network."


@dataclass(frozen=True)
class Board:
    """A machine.

    Attributes:
        name: such as "cortex-m4".
        compiler: with what names the core.
        emulator: QEMU and the machine; empty for this one.
        boot: what runs before `main`, and how a program reads, writes and counts there.
        script: where flash and RAM lie, for the linker; "" for this machine.
    """

    name: str
    compiler: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    boot: str = ""
    script: str = ""

    @property
    def programs(self) -> tuple[str, ...]:
        """The compiler and the emulator."""
        return (self.compiler[0], *self.emulator[:1])

    @property
    def missing(self) -> str:
        """Programs that are not installed, and what installs them; "" if all are."""
        absent = [name for name in self.programs if shutil.which(name) is None]
        if not absent:
            return ""
        return f"no {', '.join(absent)}: {_SETUP if self.emulator else 'install gcc'}"

    def build(self, sources: list[Path], folder: Path, *flags: str) -> Path:
        """Compiles and links C files with `main`; gives the program.

        Args:
            sources: C files.
            folder: for what is made.
            flags: further ones.

        Raises:
            UnsupportedModelError: the compiler refuses it; with what it says.
        """
        boot, program = folder / "boot.c", folder / "program"
        boot.write_text(_PROLOGUE + (self.boot or _HERE), encoding="ascii")
        command = [*self.compiler, *FLAGS, *flags, f"-I{folder}"]
        if self.script:
            script = folder / "link.ld"
            script.write_text(self.script, encoding="ascii")
            command += ["-nostartfiles", "-T", str(script)]
        command += [str(path) for path in (*sources, boot)] + ["-o", str(program)]
        done = run_program(command, self.name, _SMALLER)
        if done.returncode:
            raise UnsupportedModelError(
                f"{self.name}: {self.compiler[0]} {how_it_ended(done)}:\n"
                f"{done.stderr[-2000:]}\n  Fix: see what it says; a network that is too "
                "large for a machine has to lose channels or layers."
            )
        return program

    def run(self, program: Path, patience: float = PATIENCE) -> None:
        """Runs a program in the folder that it lies in.

        Args:
            program: that `build` made.
            patience: seconds after which it is ended.

        Raises:
            UnsupportedModelError: it did not end as it should, or in time.
        """
        command = [str(program)]
        if self.emulator:
            command = [*self.emulator, *_SEMIHOSTING, "-icount", "shift=0"]
            command += ["-kernel", str(program)]
        other = "c, which is this machine" if self.emulator else "native"
        fix = f"fewer samples, such as 1, or the target {other}."
        folder = program.parent
        done = run_program(command, self.name, fix, folder=folder, patience=patience)
        if done.returncode:
            raise UnsupportedModelError(
                f"{self.name}: the program {how_it_ended(done)}: "
                f"{done.stderr[-500:]}\n  Fix: run it on another target; if it runs "
                "there, please report this."
            )

    def sizes(self, program: Path) -> tuple[int, int]:
        """Bytes of flash and of RAM that a program takes, without its stack."""
        tool = self.compiler[0].replace("gcc", "size") if self.emulator else "size"
        done = run_program([tool, program], self.name, _SMALLER)
        if done.returncode:
            raise UnsupportedModelError(
                f"{self.name}: {tool} {how_it_ended(done)}: "
                f"{done.stderr[-500:]}\n  Fix: install the one of {self.compiler[0]}."
            )
        text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
        return text + data, data + bss


_PROLOGUE = """\
/* What a program of tests needs of its machine: files, and a clock. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stddef.h>
#include <string.h>
int main(void);
/* Opens the file of inputs (0) or of outputs (1). */
void machine_open(int which);
void machine_read(void *to, size_t bytes);
void machine_write(const void *from, size_t bytes);
/* Begins to count; then instructions since, or nanoseconds on this machine. */
void machine_start(void);
uint64_t machine_taken(void);
"""

_HERE = """\
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static FILE *files[2];
static struct timespec begin;
void machine_open(int which) {
  files[which] = fopen(which ? "out.bin" : "in.bin", which ? "wb" : "rb");
  if (!files[which]) exit(3);
}
void machine_read(void *to, size_t bytes) {
  if (bytes && fread(to, bytes, 1, files[0]) != 1) exit(4);
}
void machine_write(const void *from, size_t bytes) {
  if (bytes && fwrite(from, bytes, 1, files[1]) != 1) exit(5);
}
void machine_start(void) { clock_gettime(CLOCK_MONOTONIC, &begin); }
uint64_t machine_taken(void) {
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  return (uint64_t)((end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
}
"""

# Semihosting: the emulator opens, reads and writes files for the program.
_CALLS = """\
static int files[2];
static void stop(int code) {
  uint32_t block[2] = {0x20026, (uint32_t)code};
  call(0x20, block);
  for (;;) {
  }
}
void machine_open(int which) {
  const char *name = which ? "out.bin" : "in.bin";
  uintptr_t block[3] = {(uintptr_t)name, which ? 5 : 1, strlen(name)};
  files[which] = call(0x01, block);
  if (files[which] == -1) stop(3);
}
void machine_read(void *to, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)files[0], (uintptr_t)to, bytes};
  if (bytes && call(0x06, block)) stop(4);
}
void machine_write(const void *from, size_t bytes) {
  uintptr_t block[3] = {(uintptr_t)files[1], (uintptr_t)from, bytes};
  if (bytes && call(0x05, block)) stop(5);
}
extern uint32_t stack_top, data_begin, data_end, data_from, bss_begin, bss_end;
static void prepare(void) {
  memcpy(&data_begin, &data_from, (size_t)((char *)&data_end - (char *)&data_begin));
  memset(&bss_begin, 0, (size_t)((char *)&bss_end - (char *)&bss_begin));
}
"""

# The timer of the core runs at 25 MHz where the emulator executes 1,000 instructions a
# microsecond: 40 of them are a tick. It has 24 bits, so its interrupt counts its rounds.
_A_TICK = "40 * ticks()"
_CORTEX = f"""\
static int call(int what, const void *block) {{
  register int r0 __asm__("r0") = what;
  register const void *r1 __asm__("r1") = block;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}}
{_CALLS}
#define SYSTICK ((volatile uint32_t *)0xE000E010)
#define STATE (*(volatile uint32_t *)0xE000ED04)
#define ROUND 0x1000000u
static uint32_t first;
static volatile uint32_t rounds;
static void count_round(void) {{ ++rounds; }}
void machine_start(void) {{
  SYSTICK[0] = 0;
  SYSTICK[1] = ROUND - 1;
  SYSTICK[2] = 0;
  SYSTICK[0] = 7;
  while (!SYSTICK[2]) {{
  }}
  rounds = 0;
  first = SYSTICK[2];
}}
static uint64_t ticks(void) {{
  uint32_t before, now;
  do {{
    before = rounds;
    now = SYSTICK[2];
  }} while (before != rounds || (STATE >> 26 & 1));
  /* A round is counted when 0 is reached, a tick before the next one begins. */
  return (uint64_t)before * ROUND + first - (now ? now : ROUND);
}}
uint64_t machine_taken(void) {{ return {_A_TICK}; }}
void reset(void);
void reset(void) {{
#if defined(__ARM_FP)
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
  __asm__ volatile("dsb\\n isb");
#endif
  prepare();
  stop(main());
}}
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {{
    &stack_top, (const void *)reset, [15] = (const void *)count_round}};
"""

_RISCV = f"""\
__attribute__((noinline)) static int call(int what, const void *block) {{
  register int a0 __asm__("a0") = what;
  register const void *a1 __asm__("a1") = block;
  __asm__ volatile(
      ".option push\\n.option norvc\\n.balign 16\\n"
      "slli x0, x0, 0x1f\\nebreak\\nsrai x0, x0, 7\\n.option pop"
      : "+r"(a0) : "r"(a1) : "memory");
  return a0;
}}
{_CALLS}
static uint64_t first;
static uint64_t retired(void) {{
  uint32_t high, low, again;
  /* csrr of minstreth and minstret, which the assembler knows by name with a flag only. */
  do {{
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1150" : "=r"(high));
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1278" : "=r"(low));
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1150" : "=r"(again));
  }} while (high != again);
  return (uint64_t)high << 32 | low;
}}
void machine_start(void) {{ first = retired(); }}
uint64_t machine_taken(void) {{ return retired() - first; }}
void begin(void);
void begin(void) {{
  prepare();
  stop(main());
}}
__attribute__((naked, section(".vectors"), used)) void reset(void) {{
  __asm__ volatile(
      ".option push\\n.option norelax\\nla gp, __global_pointer$\\n.option pop\\n"
      "la sp, stack_top\\nj begin");
}}
"""

_SCRIPT = """\
MEMORY {{
  FLASH (rx) : ORIGIN = {flash}, LENGTH = {size}
  RAM (rwx) : ORIGIN = {ram}, LENGTH = {size}
}}
ENTRY(reset)
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.srodata*) . = ALIGN(4); }} > FLASH
  .ARM.exidx : {{ *(.ARM.exidx*) }} > FLASH
  .data : {{ data_begin = .; *(.data*) __global_pointer$ = . + 0x800; *(.sdata*)
    . = ALIGN(4); data_end = .; }} > RAM AT > FLASH
  data_from = LOADADDR(.data);
  .bss : {{ bss_begin = .; *(.sbss*) *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; }} > RAM
  stack_top = ORIGIN(RAM) + LENGTH(RAM);
}}
"""
_MPS2 = _SCRIPT.format(flash="0", ram="0x20000000", size="4M")
_VIRT = _SCRIPT.format(flash="0x80000000", ram="0x82000000", size="32M")


# 16 MHz, and so 62.5 instructions a tick.
_MICROBIT = _CORTEX.replace(_A_TICK, "125 * ticks() / 2")
_SMALL = _SCRIPT.format(flash="0", ram="0x20000000", size="16K").replace(
    "ORIGIN = 0, LENGTH = 16K", "ORIGIN = 0, LENGTH = 256K"
)


def _cortex(
    name: str, machine: str, *flags: str, boot: str = _CORTEX, script: str = _MPS2
) -> Board:
    emulator = ("qemu-system-arm", "-M", machine)
    return Board(name, (*_M, *flags), emulator, boot, script)


_HARD = "-mfloat-abi=hard"
HERE = Board("host", ("cc",))
BOARDS = {
    board.name: board
    for board in (
        _cortex("cortex-m0", "mps2-an385", "-mcpu=cortex-m0"),
        # 256 KiB of flash, 16 KiB of RAM.
        _cortex(
            "microbit", "microbit", "-mcpu=cortex-m0", boot=_MICROBIT, script=_SMALL
        ),
        _cortex("cortex-m3", "mps2-an385", "-mcpu=cortex-m3"),
        _cortex(
            "cortex-m4", "mps2-an386", "-mcpu=cortex-m4", _HARD, "-mfpu=fpv4-sp-d16"
        ),
        _cortex("cortex-m4-soft", "mps2-an386", "-mcpu=cortex-m4", "-mfloat-abi=soft"),
        _cortex(
            "cortex-m7", "mps2-an500", "-mcpu=cortex-m7", _HARD, "-mfpu=fpv5-sp-d16"
        ),
        Board(
            "rv32",
            (*_V, "-march=rv32imc", "-mabi=ilp32"),
            ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
            _RISCV,
            _VIRT,
        ),
    )
}
