// Loads and runs damaged flat files in larqlite-runtime-web, and counts what became of them:
// node --expose-gc fuzz_web.mjs FOLDER-OF-THE-PACKAGE SOUND COUNT SEED; SOUND holds files, each behind its size.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [home, sound, count, seed] = process.argv.slice(2);
const { load, LarqliteError } = await import(pathToFileURL(resolve(home, "index.js")));
const module = await WebAssembly.compile(readFileSync(resolve(home, "larqlite.wasm")));
const LIMITS = { bytes: 2 ** 26, seconds: 0.02 };
// Engines reserve gigabytes of addresses for each model; what is left of earlier ones goes in between.
const EVERY = 50;
const CHECKSUM_AT = 24, TABLES_END = 4096;
const NUMBERS = [0, 1, 2, 3, 5, 16, 31, 32, 64, 127, 128, 255, 256, 65535, 2 ** 16, 2 ** 20, 2 ** 24, 2 ** 28,
  2 ** 30, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 2, 2 ** 32 - 64];

// Numbers from 0 on below a bound, the same for the same seed.
let state = BigInt(seed) * 2n + 1n;
function below(bound) {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(bound));
}

const table = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let bit = 0; bit < 8; ++bit) i = i & 1 ? (i >>> 1) ^ 0xedb88320 : i >>> 1;
  return i;
});
function sign(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < CHECKSUM_AT + 4) return;
  view.setUint32(CHECKSUM_AT, 0, true);
  let crc = ~0;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
  view.setUint32(CHECKSUM_AT, ~crc >>> 0, true);
}

function damaged(file) {
  let bytes = Uint8Array.from(file);
  const end = below(4) ? Math.min(bytes.length, TABLES_END) : bytes.length;
  for (let changes = 1 + below(3); changes > 0; --changes) {
    const at = below(end), word = at - (at % 4);
    const kind = below(6);
    if (kind === 0) bytes[at] ^= 1 << below(8);
    if (kind === 1) bytes[at] = below(256);
    if (kind >= 2 && kind <= 3 && word + 4 <= bytes.length)
      new DataView(bytes.buffer).setUint32(word, NUMBERS[below(NUMBERS.length)], true);
    if (kind === 4) bytes.copyWithin(word, below(end), below(end) + 1 + below(64));
    if (kind === 5 && below(8) === 0) bytes = bytes.slice(0, below(bytes.length + 1));
  }
  if (below(10)) sign(bytes);
  return bytes;
}

const data = readFileSync(sound), files = [];
for (let at = 0; at < data.length; ) {
  const size = Number(data.readBigUInt64LE(at));
  files.push(data.subarray(at + 8, at + 8 + size));
  at += 8 + size;
}
const found = { ran: 0, refused: 0, ended: 0 };
for (let i = 0; i < Number(count); ++i) {
  if (i % EVERY === 0) gc();
  try {
    const model = await load(damaged(files[i % files.length]), { wasm: module, limits: LIMITS });
    const ARRAYS = { float32: Float32Array, uint8: Uint8Array, bool: Uint8Array, int8: Int8Array,
      uint16: Uint16Array, int16: Int16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array };
    const inputs = Object.fromEntries(model.inputs.map(({ name, type, shape }) => {
      const values = shape.reduce((n, size) => n * (size ?? 1), 1);
      if (values > 2 ** 24) throw new LarqliteError("as large as nobody feeds it");
      return [name, new ARRAYS[type](values)];
    }));
    model.run(inputs);
    found.ran += 1;
  } catch (error) {
    if (!(error instanceof LarqliteError)) throw new Error(`file ${i}: ${error.stack}`);
    if (/has ended/.test(error.message)) console.error(`file ${i}: ${error.message}`);
    found[/has ended/.test(error.message) ? "ended" : "refused"] += 1;
  }
}
console.log(JSON.stringify(found));
