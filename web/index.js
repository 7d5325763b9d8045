// Runs networks of bits in browsers and in Node: the kernels of larqlite, compiled to WebAssembly.

/** An error of a file, of an argument, or of the browser. */
export class LarqliteError extends Error {
  constructor(text) {
    super(text);
    this.name = "LarqliteError";
  }
}

// A function that counts the ones of bytes: what the module needs beyond the first WebAssembly.
const PROBE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0,
  65, 0, 253, 15, 253, 98, 11];

/** Whether WebAssembly has vectors here: Chrome and Edge 91, Firefox 89, Safari 16.4, Node 16.4. */
export function isSupported() {
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(PROBE));
}

// Types of values by their numbers: their names, and what holds them.
const TYPES = {
  1: ["float32", Float32Array],
  2: ["uint8", Uint8Array],
  3: ["int8", Int8Array],
  4: ["uint16", Uint16Array],
  5: ["int16", Int16Array],
  6: ["int32", Int32Array],
  7: ["int64", BigInt64Array],
  9: ["bool", Uint8Array],
  12: ["uint32", Uint32Array],
};
// Of the structure lq_tensor: where its fields lie, and how many bytes it has.
const TENSOR = { name: 0, type: 4, axes: 8, shape: 16, values: 80, size: 96 };
const POINTER = 4, LINE = 64, MOST_OF_ADDRESS = 2 ** 31 - 2 ** 16;

const isNode = typeof process === "object" && Boolean(process.versions?.node);

/**
 * Loads a flat file, which `lq export MODEL --to flat` writes.
 *
 * @param source its address, its bytes, or what `fetch` gives; in Node also a path.
 * @param options see the types in index.d.ts.
 */
export async function load(source, options = {}) {
  const [module, bytes] = await Promise.all([moduleOf(options.wasm), bytesOf(source)]);
  return new Model(await WebAssembly.instantiate(module), bytes, options.limits);
}

const compiled = new Map();

// The module, compiled once.
async function moduleOf(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (!isSupported())
    throw new LarqliteError(
      "load: WebAssembly has no vectors (SIMD) here.\n  Fix: Chrome or Edge 91, Firefox 89, " +
        "Safari 16.4, Node 16.4, or later ones; isSupported() tells.");
  const from = source ?? new URL("larqlite.wasm", import.meta.url);
  const key = typeof from === "string" ? from : from instanceof URL ? from.href : from;
  if (!compiled.has(key)) {
    const made = bytesOf(from).then((bytes) => WebAssembly.compile(bytes));
    made.catch(() => compiled.delete(key)); // the next call may have more luck
    if (typeof key === "string") compiled.set(key, made);
    return made;
  }
  return compiled.get(key);
}

async function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source))
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (typeof Response === "function" && source instanceof Response) return bytesOfResponse(source);
  if (typeof source !== "string" && !(source instanceof URL))
    throw new LarqliteError(
      `load: ${describe(source)} is no file.\n  Fix: its address, an ArrayBuffer, a Uint8Array, ` +
        "or what fetch gives.");
  const address = String(source);
  if (isNode && !/^(https?|data|blob):/.test(address)) {
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:fs/promises");
    try {
      return await readFile(address.startsWith("file:") ? new URL(address) : address);
    } catch (error) {
      throw new LarqliteError(`load: ${error.message}.\n  Fix: the path of a file that is there.`);
    }
  }
  let response;
  try {
    response = await fetch(source);
  } catch (error) {
    throw new LarqliteError(`load: ${address} did not come: ${error.message}`);
  }
  return bytesOfResponse(response);
}

async function bytesOfResponse(response) {
  if (!response.ok)
    throw new LarqliteError(`load: ${response.url} did not come: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

function describe(value) {
  return value === null || value === undefined ? String(value) : value.constructor?.name ?? typeof value;
}

const decoder = new TextDecoder();

/** A network that is ready to run, with memory of its own. */
class Model {
  #exports;
  #model;
  #fed;
  #made;
  #places = 0; // where values and their addresses lie, of how many images
  #batch = 0;
  #ended = "";

  constructor(instance, bytes, limits) {
    this.#exports = instance.exports;
    this.#exports._initialize();
    const file = this.#take(bytes.byteLength + LINE);
    const at = Math.ceil(file / LINE) * LINE;
    new Uint8Array(this.#memory, at, bytes.byteLength).set(bytes);
    const handle = this.#take(POINTER);
    const code = this.#call("load", () => this.#exports.lq_load_static(at, bytes.byteLength, handle));
    this.#model = new DataView(this.#memory).getUint32(handle, true);
    this.#require("load", code);
    if (limits) this.#limit(limits);
    this.#fed = this.#tensors("input");
    this.#made = this.#tensors("output");
    const shown = ({ name, type, shape }) =>
      Object.freeze({ name, type, shape: Object.freeze(shape) });
    this.inputs = Object.freeze(this.#fed.map(shown));
    this.outputs = Object.freeze(this.#made.map(shown));
    Object.freeze(this);
  }

  /** Computes one image or several, one behind another. */
  run(inputs) {
    if (this.#ended) throw new LarqliteError(this.#ended);
    const given = this.#arrays(inputs);
    const batch = this.#batchOf(given);
    this.#reserve(batch);
    this.#fed.forEach((tensor, i) => this.#view(tensor, batch).set(given[i]));
    const pointers = this.#places;
    const outputs = pointers + POINTER * this.#fed.length;
    const code = this.#call("run", () =>
      this.#exports.lq_run_model(this.#model, batch, pointers, outputs));
    this.#require("run", code);
    const results = this.#made.map((tensor) => this.#view(tensor, batch).slice());
    if (results.length === 1) return results[0];
    return Object.fromEntries(this.#made.map((tensor, i) => [tensor.name, results[i]]));
  }

  /** Bytes of memory that the module has taken, the file and itself among them. */
  get memoryBytes() {
    return this.#memory.byteLength;
  }

  // Grows with calls, which leaves earlier views behind.
  get #memory() {
    return this.#exports.memory.buffer;
  }

  #take(bytes) {
    const at = bytes > MOST_OF_ADDRESS ? 0 : this.#exports.malloc(bytes) >>> 0;
    if (at === 0)
      throw new LarqliteError(
        `there is no memory for ${bytes} more bytes.\n  Fix: a smaller batch, or fewer models.`);
    return at;
  }

  // What went wrong below everything else ends the model: its memory may be half changed.
  #call(where, run) {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
      this.#ended =
        `${where}: the model has ended: ${error.message}; there was probably no memory left.` +
        "\n  Fix: load it again, and run smaller batches.";
      throw new LarqliteError(this.#ended);
    }
  }

  #require(where, code) {
    if (code === 0) return;
    const text = this.#text(this.#exports.lq_error(this.#model))
      .replaceAll("lq_set_limits()", "the option `limits` of load()");
    throw new LarqliteError(`${where}: ${text}`);
  }

  #limit({ bytes = 2 ** 30, seconds = 600 }) {
    const whole = Number.isFinite(bytes) ? BigInt(Math.trunc(bytes)) : 0n;
    this.#require("load", this.#exports.lq_set_limits(this.#model, whole, seconds));
  }

  #text(at) {
    const bytes = new Uint8Array(this.#memory, at >>> 0);
    return decoder.decode(bytes.slice(0, bytes.indexOf(0)));
  }

  #tensors(which) {
    const at = this.#take(TENSOR.size);
    const found = [];
    for (let i = 0; i < this.#exports[`lq_${which}_count`](this.#model); ++i) {
      this.#require("load", this.#exports[`lq_${which}`](this.#model, i, at));
      const view = new DataView(this.#memory, at, TENSOR.size);
      const [type, array] = TYPES[view.getInt32(TENSOR.type, true)];
      const sizes = Array.from({ length: view.getInt32(TENSOR.axes, true) }, (_, axis) =>
        Number(view.getBigInt64(TENSOR.shape + 8 * axis, true)));
      found.push({
        name: this.#text(view.getUint32(TENSOR.name, true)),
        type,
        array,
        shape: sizes.map((size) => (size === -1 ? null : size)),
        values: Number(view.getBigInt64(TENSOR.values, true)),
        isOfImages: sizes[0] === -1,
        index: which === "input" ? i : i + this.#fed.length,
      });
    }
    this.#exports.free(at);
    return found;
  }

  // An array for each input.
  #arrays(inputs) {
    const names = this.#fed.map(({ name }) => name);
    const isOne = ArrayBuffer.isView(inputs);
    if (isOne && names.length !== 1)
      throw new LarqliteError(
        `run: the network has ${names.length} inputs.\n  Fix: an object with ${names.join(", ")}.`);
    if (!isOne && (typeof inputs !== "object" || inputs === null))
      throw new LarqliteError(`run: ${describe(inputs)} is no input.\n  Fix: ${this.#wanted()}.`);
    const stranger = isOne ? undefined : Object.keys(inputs).find((name) => !names.includes(name));
    if (stranger !== undefined)
      throw new LarqliteError(`run: there is no input "${stranger}".\n  Fix: ${this.#wanted()}.`);
    return this.#fed.map(({ name, array }) => {
      const found = isOne ? inputs : inputs[name];
      if (found instanceof array) return found;
      throw new LarqliteError(
        `run: the input "${name}" is ${describe(found)}.\n  Fix: ${this.#wanted()}.`);
    });
  }

  #wanted() {
    const words = this.#fed.map(({ name, array }) => `${name}: ${array.name}`);
    return words.length === 1 ? `a ${this.#fed[0].array.name}` : `an object of ${words.join(", ")}`;
  }

  // How many images there are.
  #batchOf(given) {
    let batch = 0, of;
    this.#fed.forEach((tensor, i) => {
      const count = given[i].length / tensor.values;
      const wanted = tensor.isOfImages ? batch || Math.max(1, Math.floor(count)) : 1;
      if (count !== wanted)
        throw new LarqliteError(
          `run: the input "${tensor.name}" has ${given[i].length} values; an image has ` +
            `${tensor.values} (${tensor.shape.filter((size) => size !== null).join(" x ")})` +
            `${of ? `, and "${of}" has ${batch} of them` : ""}.\n  Fix: ${wanted * tensor.values} values.`);
      if (tensor.isOfImages) [batch, of] = [wanted, tensor.name];
    });
    return batch || 1;
  }

  // Room for the values of so many images, and a table of where they lie.
  #reserve(batch) {
    if (batch === this.#batch) return;
    if (this.#batch) this.#exports.free(this.#places);
    this.#batch = 0;
    const all = [...this.#fed, ...this.#made];
    let end = POINTER * all.length;
    const places = all.map((tensor) => {
      const at = Math.ceil(end / LINE) * LINE;
      end = at + tensor.values * (tensor.isOfImages ? batch : 1) * tensor.array.BYTES_PER_ELEMENT;
      return at;
    });
    this.#places = this.#take(end);
    const table = new DataView(this.#memory, this.#places);
    places.forEach((at, i) => table.setUint32(POINTER * i, this.#places + at, true));
    this.#batch = batch;
  }

  #view({ index, array, values, isOfImages }, batch) {
    const at = new DataView(this.#memory, this.#places).getUint32(POINTER * index, true);
    return new array(this.#memory, at, values * (isOfImages ? batch : 1));
  }
}
