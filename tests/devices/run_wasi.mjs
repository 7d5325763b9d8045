// Runs a program that was compiled to WebAssembly for WASI; it sees one folder, as /files.
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [, , program, folder, ...words] = process.argv;
const args = [program, ...words];
const wasi = new WASI({ version: 'preview1', args, preopens: { '/files': folder } });
const { instance } = await WebAssembly.instantiate(await readFile(program), wasi.getImportObject());
process.exitCode = wasi.start(instance);
