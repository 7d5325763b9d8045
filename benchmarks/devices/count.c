// A plugin of QEMU that counts how often each instruction is executed.
//
//     qemu-system-arm ... -plugin libcount.so,base=0,bytes=4194304,out=FILE
//
// writes a uint64 for every two bytes from the address `base` on to FILE: how often the instruction
// was executed that begins there. The last one counts instructions that lie elsewhere. The
// declarations are those of version 1 of QEMU's interface for plugins, for which Debian has no
// header.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb*));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void*),
                                    void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* tb);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* tb, size_t number);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn* insn);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn* insn,
                                                enum qemu_plugin_op op, void* at, uint64_t by);

int qemu_plugin_version = 1;

static uint64_t base, places = 1 << 21;
static uint64_t* counts;
static char* out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); ++i) {
    struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(tb, i);
    const uint64_t place = (qemu_plugin_insn_vaddr(insn) - base) / 2;
    qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                               counts + (place < places ? place : places), 1);
  }
}

static void written(qemu_plugin_id_t id, void* data) {
  (void)id, (void)data;
  FILE* file = fopen(out, "wb");
  if (!file) return;
  fwrite(counts, sizeof *counts, places + 1, file);
  fclose(file);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int argc, char** argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (!strncmp(argv[i], "base=", 5)) base = strtoull(argv[i] + 5, NULL, 0);
    if (!strncmp(argv[i], "bytes=", 6)) places = strtoull(argv[i] + 6, NULL, 0) / 2;
    if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
  }
  counts = calloc(places + 1, sizeof *counts);
  if (!counts || !out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, written, NULL);
  return 0;
}
