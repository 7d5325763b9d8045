// Runs networks in larqlite-runtime-web: node --expose-gc run_web.mjs FOLDER-OF-THE-PACKAGE FOLDER.
//
// FOLDER/cases.json: for each case where its flat file lies in FOLDER/data, and for each call the
// inputs, by name. Results go to FOLDER/results.json and FOLDER/results in the same way; an error is its text.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [home, folder] = process.argv.slice(2);
const web = await import(pathToFileURL(resolve(home, "index.js")));
const data = readFileSync(join(folder, "data"));
const ARRAYS = {
  float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, bool: Uint8Array,
};

const parts = [];
let end = 0;
const put = (array) => {
  const bytes = Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  parts.push(bytes);
  end += bytes.length;
  return [end - bytes.length, bytes.length];
};
const array = ([type, at, length]) => {
  const bytes = new Uint8Array(data.subarray(at, at + length)); // on a boundary of its own
  return new ARRAYS[type](bytes.buffer, 0, length / ARRAYS[type].BYTES_PER_ELEMENT);
};
const attempt = async (work) => {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof web.LarqliteError)) return { stranger: String(error.stack) };
    return { error: error.message };
  }
};

const EVERY = 50; // models; engines reserve gigabytes of addresses for each that is not gone yet
const results = [];
for (const { file: [at, length], calls } of JSON.parse(readFileSync(join(folder, "cases.json")))) {
  if (results.length % EVERY === 0) gc();
  results.push(await attempt(async () => {
    const model = await web.load(data.subarray(at, at + length));
    const found = [];
    for (const inputs of calls ?? [undefined]) {
      found.push(await attempt(() => {
        const given = Object.fromEntries(inputs
          ? Object.entries(inputs).map(([name, place]) => [name, array(place)])
          : model.inputs.map(({ name, type, shape }) =>
              [name, new ARRAYS[type](shape.reduce((n, size) => n * (size ?? 1), 1))]));
        const made = model.run(given);
        const all = ArrayBuffer.isView(made) ? { [model.outputs[0].name]: made } : made;
        return { outputs: Object.fromEntries(model.outputs.map(({ name, type, shape }) =>
          [name, [type, shape, ...put(all[name])]])) };
      }));
    }
    return { calls: found, inputs: model.inputs };
  }));
}
writeFileSync(join(folder, "results"), Buffer.concat(parts));
writeFileSync(join(folder, "results.json"), JSON.stringify(results));
