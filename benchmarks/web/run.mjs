// Times networks in larqlite-runtime-web and in onnxruntime-web, which take turns, on one thread:
// node run.mjs ROWS.json ENVIRONMENT; prints JSON, milliseconds a call of each side, of the best round:
// what else the machine does only adds to them.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [rowsFile, environment] = process.argv.slice(2);
const { load } = await import("../../web/index.js");
const ort = await import(
  pathToFileURL(resolve(environment, "node_modules/onnxruntime-web/dist/ort.node.min.mjs")));
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const ROUNDS = 25, LEAST = 20; // milliseconds of a round of a side
const WARM = 300; // milliseconds until engines have compiled what they run often

const used = () => performance.now();

async function timed(call, count) {
  const begin = used();
  for (let i = 0; i < count; ++i) await call();
  return (used() - begin) / count;
}

// Calls that take as long as a round, once the engine is warm.
async function warmed(call) {
  const begin = used();
  let count = 0, last = 0;
  while (used() - begin < WARM || count < 3) {
    last = await timed(call, 1);
    ++count;
  }
  return Math.max(1, Math.ceil(LEAST / Math.max(last, 0.02)));
}

async function oursOf(file, values) {
  const model = await load(file);
  return () => model.run(values);
}

async function otherOf(file, shape, values) {
  const session = await ort.InferenceSession.create(readFileSync(file), { executionProviders: ["wasm"] });
  const feed = { [session.inputNames[0]]: new ort.Tensor("float32", values, shape) };
  return async () => (await session.run(feed))[session.outputNames[0]].data;
}

const results = [];
for (const { name, ours, other, shape, otherShape } of JSON.parse(readFileSync(rowsFile))) {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * 0.7));
  const calls = [await oursOf(ours, values), await otherOf(other, otherShape ?? shape, values)];
  const counts = [], times = [[], []];
  for (const call of calls) counts.push(await warmed(call));
  for (let round = 0; round < ROUNDS; ++round)
    for (const side of [0, 1]) times[side].push(await timed(calls[side], counts[side]));
  const outputs = [Array.from(await calls[0]()), Array.from(await calls[1]())];
  results.push({ name, ours: Math.min(...times[0]), other: Math.min(...times[1]), outputs });
}
console.log(JSON.stringify({ results, version: ort.env.versions.web }));
