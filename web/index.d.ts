// Types of larqlite-runtime-web.

/** What holds the values of an input or an output; of type "bool" a byte each, 0 or 1. */
export type Values =
  | Float32Array | Uint8Array | Int8Array | Uint16Array | Int16Array | Int32Array | Uint32Array
  | BigInt64Array;

export interface Tensor {
  readonly name: string;
  readonly type:
    | "float32" | "uint8" | "int8" | "uint16" | "int16" | "int32" | "int64" | "bool" | "uint32";
  /** Sizes, the last innermost; null stands for the images of a call. */
  readonly shape: readonly (number | null)[];
}

/** An address, a file's bytes, what `fetch` gives; in Node also a path. */
export type Source = string | URL | ArrayBuffer | ArrayBufferView | Response;

export interface LoadOptions {
  /** Where larqlite.wasm is, or what it was compiled to; beside this module by default. */
  wasm?: Source | WebAssembly.Module;
  /** For files of people who are not trusted: bytes of memory for runs (2^30 by default), and
   * seconds that an image may take as its sizes tell (600). A file that wants more is refused. */
  limits?: { bytes?: number; seconds?: number };
}

/** A network that is ready to run. Its memory goes with it; there is nothing to free. */
export interface Model<Out = Float32Array> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Bytes of memory that it has taken, its file and kernels among them. */
  readonly memoryBytes: number;
  /**
   * Computes one image or several, which lie one behind another: as many as there are values for.
   *
   * @param inputs the values; of several inputs an object, by name.
   * @returns those of the output, new ones; of several outputs an object, by name.
   * @throws LarqliteError
   */
  run(inputs: Values | Record<string, Values>): Out;
}

/**
 * Loads a flat file, which `lq export MODEL --to flat` writes. All of it is checked.
 *
 * @throws LarqliteError the file is not there, damaged, or too new; the browser has no vectors.
 */
export function load<Out = Float32Array>(source: Source, options?: LoadOptions): Promise<Model<Out>>;

/** Whether WebAssembly has vectors (SIMD) here. */
export function isSupported(): boolean;

export class LarqliteError extends Error {}
