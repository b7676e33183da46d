/** The values a pickle may leave behind. None of them can do anything. */
import type { StoredDtype } from './dtypes.js';

/** The bytes that tensors are views of; `key` says where in the container they lie. */
export class PickledStorage {
  constructor(
    readonly key: string,
    readonly dtype: StoredDtype,
    readonly elements: number,
  ) {}
}

/** A view of a storage; offset and strides in elements. Not yet checked against the storage. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** An object of a Python class, of which only the class's name, the arguments and the state are kept. */
export class PickledObject {
  state: unknown;

  constructor(
    readonly className: string,
    readonly args: readonly unknown[],
  ) {}
}

const DEEPEST_NESTING = 64;
const MOST_VALUES = 200_000;
const LONGEST_PATH = 4096;

/**
 * Reduces a pickled value to plain data as JSON has it: dictionaries become objects, tuples and sets arrays, objects
 * with attributes the object of their attributes. Tensors and values without such a form become undefined.
 * @throws Error when the value is nested too deeply, or expands to too many values through shared parts.
 */
export function plainValue(value: unknown): unknown {
  let budget = MOST_VALUES;

  function spend(values: number): void {
    budget -= values;
    if (budget < 0) throw new Error(`expands to more than ${MOST_VALUES} values`);
  }

  function plain(item: unknown, depth: number): unknown {
    spend(1);
    if (depth > DEEPEST_NESTING) throw new Error(`is nested more than ${DEEPEST_NESTING} deep`);
    if (item === null || ['string', 'number', 'boolean'].includes(typeof item)) return item;
    if (Array.isArray(item) || item instanceof Set) return Array.from(item, (part) => plain(part, depth + 1));
    if (item instanceof Map) {
      return Object.fromEntries(
        Array.from(item, ([key, part]) => [
          typeof key === 'string' ? key : shownKey(key),
          plain(part, depth + 1),
        ]),
      );
    }
    if (item instanceof PickledObject) return plainObject(item, depth);
    return undefined;
  }

  function plainObject(object: PickledObject, depth: number): unknown {
    if (object.className.startsWith('pathlib.')) {
      spend(object.args.length);
      return path(object.args);
    }
    const attributes = object.state instanceof Map ? object.state : new Map<unknown, unknown>();
    // OmegaConf's containers keep their content, and its leaves their value, beside bookkeeping.
    if (object.className.startsWith('omegaconf.')) {
      return plain(attributes.get('_content') ?? attributes.get('_val') ?? null, depth + 1);
    }
    return plain(attributes, depth + 1);
  }

  return plain(value, 0);
}

function path(parts: readonly unknown[]): string | undefined {
  const names = parts.filter((part) => typeof part === 'string');
  const length = names.reduce((sum, name) => sum + name.length + 1, 0);
  return length > LONGEST_PATH ? undefined : names.join('/').replace(/^\/\//, '/');
}

function shownKey(key: unknown): string {
  return typeof key === 'number' || typeof key === 'boolean' || key === null ? String(key) : '(key)';
}
