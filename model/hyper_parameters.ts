import { resolveCharset } from './charset.js';
import type { ImageSize } from './configuration.js';

/** Hyper-parameters stored beside the weights; each is checked when it is asked for. */
export class HyperParameters {
  /** @param file its name, for messages. */
  constructor(
    private readonly file: string,
    private readonly values: Readonly<Record<string, unknown>>,
  ) {}

  /** @throws Error if the value is there but no whole number from `least` to `most`. */
  integer(key: string, least: number, most = Infinity): number | undefined {
    const expected = `a whole number from ${least}${most === Infinity ? '' : ` to ${most}`}`;
    return this.#checked(key, expected, (value): value is number => isWhole(value, least) && value <= most);
  }

  boolean(key: string): boolean | undefined {
    return this.#checked(key, 'true or false', (value) => typeof value === 'boolean');
  }

  charset(key: string): string | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    try {
      return resolveCharset(text);
    } catch (error) {
      throw new Error(`${this.file}: hyper-parameter ${key}: ${(error as Error).message}`, { cause: error });
    }
  }

  text(key: string): string | undefined {
    return this.#checked(key, 'text', (value) => typeof value === 'string');
  }

  oneOf<T extends string>(key: string, choices: readonly T[]): T | undefined {
    return this.#checked(key, choices.join(' or '), (value): value is T =>
      choices.some((choice) => choice === value),
    );
  }

  /** @throws Error if the value is there but no list of whole numbers of at least `least`. */
  integers(key: string, least: number): readonly number[] | undefined {
    return this.#checked(key, `a list of whole numbers from ${least}`, (value): value is number[] => {
      return Array.isArray(value) && value.every((item) => isWhole(item, least));
    });
  }

  imageSize(key: string): ImageSize | undefined {
    return this.#checked(key, '[height, width] in pixels', (value): value is [number, number] => {
      return Array.isArray(value) && value.length === 2 && value.every((side) => isWhole(side, 1));
    });
  }

  #checked<T>(key: string, expected: string, isValid: (value: unknown) => value is T): T | undefined {
    const value = Object.hasOwn(this.values, key) ? this.values[key] : undefined;
    if (value === undefined || value === null) return undefined;
    if (!isValid(value)) {
      const shown = JSON.stringify(value) ?? typeof value;
      throw new Error(
        `${this.file}: hyper-parameter ${key} is ${shown.slice(0, 100)}; expected ${expected}.`,
      );
    }
    return value;
  }
}

function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}
