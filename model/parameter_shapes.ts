import { type ModelConfiguration, readingLimits } from './configuration.js';

/** The parameters that a configuration is inferred from. */
export interface ShapedParameters {
  /** File name, for messages. */
  readonly name: string;
  readonly parameters: ReadonlyMap<string, { readonly shape: readonly number[]; readonly misfit?: string }>;
}

/** With what kind of model they are of. */
export interface FamilyParameters extends ShapedParameters {
  readonly family: ModelConfiguration['family'];
}

/**
 * How many different names follow a start, up to a dot: `0`, `1` and so on.
 * @throws Error where there are more than any model has
 */
export function layerCount({ name, parameters }: ShapedParameters, start: string): number {
  const numbers = new Set<string>();
  for (const parameter of parameters.keys()) {
    if (parameter.startsWith(start)) numbers.add(parameter.slice(start.length).split('.', 1)[0]!);
  }
  if (numbers.size > readingLimits.layers) {
    throw new Error(
      `${name}: has ${numbers.size} layers ${start}0 and so on; expected ${readingLimits.layers} or fewer.`,
    );
  }
  return numbers.size;
}

/** Looks up shapes, saying what is wrong with a file that lacks one or has it in another form. */
export class ParameterShapes {
  constructor(
    private readonly source: ShapedParameters,
    private readonly prefix = '',
  ) {}

  /** The same file seen from under a prefix. */
  under(prefix: string): ParameterShapes {
    return new ParameterShapes(this.source, this.prefix + prefix);
  }

  fullName(name: string): string {
    return this.prefix + name;
  }

  /** Whether any parameter's name starts so. */
  has(start: string): boolean {
    const full = this.fullName(start);
    return [...this.source.parameters.keys()].some((name) => name.startsWith(full));
  }

  /** @throws Error always: what is wrong with the file, after its name. */
  fail(problem: string): never {
    throw new Error(`${this.source.name}: ${problem}`);
  }

  /** @throws Error if the parameter is missing, or not a matrix without empty dimensions. */
  matrix(name: string): readonly [number, number] {
    const [rows, columns] = this.#shape(name, 2);
    return [rows!, columns!];
  }

  /** Shape of a patch convolution, `[width, 3, height, width]` of which the colour channels must be 3. */
  patchConvolution(name: string): { width: number; patchSize: readonly [number, number] } {
    const [width, channels, height, across] = this.#shape(name, 4);
    if (channels !== 3)
      this.fail(`${this.fullName(name)} takes ${channels} channels; expected 3 (red, green, blue).`);
    return { width: width!, patchSize: [height!, across!] };
  }

  /** Shape of a table with a leading dimension of 1, `[1, rows, columns]`. */
  batchedMatrix(name: string): readonly [number, number] {
    const [batch, rows, columns] = this.#shape(name, 3);
    if (batch !== 1) this.fail(`${this.fullName(name)} starts with ${batch}; expected [1, rows, columns].`);
    return [rows!, columns!];
  }

  /** How many numbered layers have parameters under `name.0.`, `name.1.` and so on. */
  layers(name: string): number {
    const start = `${this.fullName(name)}.`;
    const layers = layerCount(this.source, start);
    if (layers === 0) this.fail(`no parameter is named ${start}0 and so on; the file has no such layers.`);
    return layers;
  }

  #shape(name: string, dimensions: number): readonly number[] {
    const full = this.fullName(name);
    const shape = this.source.parameters.get(full)?.shape;
    if (shape === undefined)
      this.fail(`${full} is missing. The file may hold another model, or a part of one.`);
    if (shape.length !== dimensions || shape.some((size) => size < 1)) {
      this.fail(`${full} is [${shape.join(',')}]; expected ${dimensions} dimensions, none of them empty.`);
    }
    return shape;
  }
}
