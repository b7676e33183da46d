/** The parameters of a known model family under one naming, whatever convention the file follows. */
import type { Checkpoint, F32Chunk } from './checkpoint.js';
import type { StoredDtype } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { mapNames, type Convention, type Family } from './names.js';
import type { Recipe } from './recipe.js';

export interface ParameterInfo {
  readonly shape: readonly number[];
  /** As stored; `f32`, which it is read as, where it is made of tensors of several types. */
  readonly dtype: StoredDtype;
  /** As stored. */
  readonly byteLength: number;
  /** Why the stored tensors do not make this parameter, which cannot be read then; its shape tells nothing. */
  readonly misfit?: string;
}

/** An open checkpoint of CLIP4STR, PARSeq, CLIP with an adapter or CLIP alone, by canonical names. */
export interface ParameterSource {
  /** File name for messages. */
  readonly name: string;
  readonly family: Family;
  readonly convention: Convention;
  readonly configuration: Readonly<Record<string, unknown>>;
  /**
   * By canonical name, which is the original's: CLIP4STR `clip_model.*`, `visual_decoder.*`, `cross_decoder.*`; PARSeq
   * `encoder.*`, `decoder.*`, `head.*`, `text_embed.*`, `pos_queries`; an adapter's model as PARSeq, with `clip_model.*`
   * and `adapter.*` for the encoder; CLIP as OpenAI's, `visual.*`, `transformer.*` ...
   */
  readonly parameters: ReadonlyMap<string, ParameterInfo>;
  /** Stored tensors that are no parameters: masks and sizes kept as buffers. */
  readonly ignored: readonly string[];
  /** A parameter in single precision, dense and row-major. */
  readF32(name: string): Promise<Float32Array>;
  /** As `readF32`, in pieces of at most `maxBytes` (default 8 MiB). */
  readChunks(name: string, maxBytes?: number): AsyncIterable<F32Chunk>;
  close(): Promise<void>;
}

/**
 * Recognises the model family and the naming convention from the tensors' names and shapes.
 * The result owns the checkpoint and closes it, also when this fails.
 * @throws CheckpointError when the tensors belong to no known family.
 */
export async function parametersOf(checkpoint: Checkpoint): Promise<ParameterSource> {
  try {
    return new MappedParameters(checkpoint);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

class MappedParameters implements ParameterSource {
  readonly family: Family;
  readonly convention: Convention;
  readonly parameters: ReadonlyMap<string, ParameterInfo>;
  readonly ignored: readonly string[];
  readonly #recipes: ReadonlyMap<string, Recipe>;

  constructor(private readonly checkpoint: Checkpoint) {
    const { family, convention, recipes, ignored } = mapNames(checkpoint);
    this.family = family;
    this.convention = convention;
    this.ignored = ignored;
    this.#recipes = recipes;
    this.parameters = new Map([...recipes].map(([name, recipe]) => [name, describe(checkpoint, recipe)]));
  }

  get name(): string {
    return this.checkpoint.name;
  }

  get configuration(): Readonly<Record<string, unknown>> {
    return this.checkpoint.configuration;
  }

  async readF32(name: string): Promise<Float32Array> {
    const recipe = this.#recipe(name);
    if (recipe.kind === 'transposed') return this.#transposed(recipe.stored);
    if (recipe.stored.length === 1) return this.checkpoint.readF32(recipe.stored[0]!);
    const parts = await Promise.all(recipe.stored.map((part) => this.checkpoint.readF32(part)));
    const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async *readChunks(name: string, maxBytes?: number): AsyncGenerator<F32Chunk> {
    const recipe = this.#recipe(name);
    if (recipe.kind === 'transposed') {
      const values = await this.#transposed(recipe.stored);
      const step = maxBytes === undefined ? values.length : Math.max(1, Math.floor(maxBytes / 4));
      for (let elementOffset = 0; elementOffset < values.length; elementOffset += step) {
        yield { elementOffset, values: values.subarray(elementOffset, elementOffset + step) };
      }
      return;
    }
    let start = 0;
    for (const part of recipe.stored) {
      let length = 0;
      for await (const { elementOffset, values } of this.checkpoint.readChunks(part, maxBytes)) {
        yield { elementOffset: start + elementOffset, values };
        length += values.length;
      }
      start += length;
    }
  }

  async close(): Promise<void> {
    await this.checkpoint.close();
  }

  #recipe(name: string): Recipe {
    const recipe = this.#recipes.get(name);
    if (!recipe) throw new CheckpointError(this.name, `has no parameter ${shownName(name)}`);
    const { misfit } = this.parameters.get(name)!;
    if (misfit !== undefined) throw new CheckpointError(this.name, `${shownName(name)}: ${misfit}`);
    return recipe;
  }

  async #transposed(stored: string): Promise<Float32Array> {
    const [rows, columns] = this.checkpoint.tensors.get(stored)!.shape as [number, number];
    const values = await this.checkpoint.readF32(stored);
    const result = new Float32Array(values.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        result[column * rows + row] = values[row * columns + column]!;
      }
    }
    return result;
  }
}

/** What does not fit is said of the parameter rather than thrown, so that it can be told with all else that is wrong. */
function describe(checkpoint: Checkpoint, recipe: Recipe): ParameterInfo {
  if (recipe.kind === 'transposed') {
    const { shape, dtype, byteLength } = checkpoint.tensors.get(recipe.stored)!;
    const info = { shape: [...shape].reverse(), dtype, byteLength };
    if (shape.length === 2) return info;
    return { ...info, misfit: `${shownName(recipe.stored)} is [${shape.join(',')}], a matrix is expected` };
  }
  const parts = recipe.stored.map((stored) => checkpoint.tensors.get(stored)!);
  const { shape, dtype } = parts[0]!;
  const info = {
    dtype: parts.every((part) => part.dtype === dtype) ? dtype : 'f32',
    byteLength: parts.reduce((sum, part) => sum + part.byteLength, 0),
  };
  if (parts.length === 1) return { ...info, shape };
  if (shape.length > 0 && parts.every((part) => part.shape.join() === shape.join())) {
    return { ...info, shape: [parts.length * shape[0]!, ...shape.slice(1)] };
  }
  const shapes = parts.map((part) => `${shownName(part.name)} [${part.shape.join(',')}]`);
  return { ...info, shape, misfit: `its parts ${shapes.join(', ')} do not fit one another` };
}
