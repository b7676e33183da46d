import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readSafetensors, type StoredTensor } from './safetensors.js';

const folder = new URL('../../../test/fixtures/', import.meta.url);

/** Path of a file under test/fixtures, from the compiled tests. */
export function fixturePath(name: string): string {
  return fileURLToPath(new URL(name, folder));
}

/** Parsed JSON fixture; the caller states the shape that the file is known to have. */
export function readJsonFixture<T>(name: string): T {
  return JSON.parse(readFileSync(fixturePath(name), 'utf8')) as T;
}

/** Tensors of a safetensors fixture, by name. */
export function readTensorFixture(name: string): TensorFixture {
  return new TensorFixture(name, readSafetensors(fixturePath(name)));
}

/** Tensors of one file; a missing or differently typed one fails the test with its name. */
export class TensorFixture {
  readonly names: readonly string[];

  constructor(
    private readonly file: string,
    private readonly tensors: ReadonlyMap<string, StoredTensor>,
  ) {
    this.names = [...tensors.keys()];
  }

  get(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`${this.file}: no tensor ${name}.`);
    return tensor;
  }

  floats(name: string): Float32Array {
    const { data } = this.get(name);
    if (!(data instanceof Float32Array)) throw new Error(`${this.file}: ${name} is not floating point.`);
    return data;
  }

  bytes(name: string): Uint8Array {
    const { data } = this.get(name);
    if (!(data instanceof Uint8Array)) throw new Error(`${this.file}: ${name} is not u8.`);
    return data;
  }

  /** Any integer tensor as plain numbers. */
  integers(name: string): number[] {
    const { data } = this.get(name);
    return Array.from(data as ArrayLike<number | bigint>, Number);
  }
}
