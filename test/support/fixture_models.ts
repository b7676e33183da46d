/** The reference's models, on a device. */
import type { Device } from '../../engine/index.js';
import { Clip } from '../../model/clip.js';
import { Clip4StrModel } from '../../model/clip4str.js';
import type { ConfigurationSource } from '../../model/infer_configuration.js';
import { type LoadOptions, loadModel } from '../../model/load_model.js';
import type { AdapterType } from '../../model/configuration.js';
import { Parseq } from '../../model/parseq.js';
import { StrAdapterModel } from '../../model/str_adapter.js';
import { type ParameterInfo, type ParameterSource, openParameters } from '../../weights/index.js';
import { fixturePath } from './fixtures.js';
import { type StoredTensor, readSafetensors, readSafetensorsShapes } from './safetensors.js';

/** Decoders that stand beside the CLIP of `fast`, and what their shapes do not tell. */
export const variants = {
  cls_eot: { clipClsEotFeature: true },
  depth2: {},
  noshare: { useShareDim: false },
} as const satisfies Readonly<Record<string, LoadOptions>>;

export type FixtureModel = 'fast' | 'p16' | `fast_variant_${keyof typeof variants}`;

const decoderHeads = { fast: 4, p16: 2 } as const;

/** Parameters of one of the reference's CLIP4STR models. Only `fast` is one complete file. */
export async function fixtureParameters(name: FixtureModel): Promise<ParameterSource> {
  if (name === 'fast') return openParameters(fixturePath('models/fast.safetensors'));
  const fast = readSafetensors(fixturePath('models/fast.safetensors'));
  const own = readSafetensors(fixturePath(`models/${name}.safetensors`));
  const embedding = 'clip_model.token_embedding.weight';
  const base = name === 'p16' ? new Map([[embedding, fast.get(embedding)!]]) : fast;
  return new StoredParameters(`${name}.safetensors`, 'clip4str', new Map([...base, ...own]));
}

/** What {@link fixtureParameters} do not record. */
export function fixtureOptions(name: FixtureModel): LoadOptions {
  if (name === 'p16') return { decoderHeads: decoderHeads.p16 };
  const variant = name.replace('fast_variant_', '') as keyof typeof variants;
  return { decoderHeads: decoderHeads.fast, ...(name === 'fast' ? {} : variants[variant]) };
}

/** @param reads as of `loadModel` */
export async function loadFixtureModel(
  device: Device,
  name: FixtureModel,
  options: LoadOptions = {},
  reads = false,
): Promise<Clip4StrModel> {
  const source = await fixtureParameters(name);
  try {
    const model = await loadModel(device, source, { ...fixtureOptions(name), ...options }, reads);
    if (!(model instanceof Clip4StrModel)) throw new Error(`${name}: is no CLIP4STR model.`);
    return model;
  } finally {
    await source.close();
  }
}

/**
 * Loads each model when a test of the file first asks for it.
 * @param reads as of `loadModel`
 */
export function useFixtureModels(
  device: () => Device,
  reads = true,
): (name: FixtureModel) => Promise<Clip4StrModel> {
  const models = new Map<FixtureModel, Clip4StrModel>();
  return async (name) => {
    const model = models.get(name) ?? (await loadFixtureModel(device(), name, {}, reads));
    models.set(name, model);
    return model;
  };
}

/** What PARSeq's state dict does not record. */
export const parseqOptions: LoadOptions = { imageSize: [32, 128], encoderHeads: 2, decoderHeads: 4 };

/** The reference's PARSeq. */
export async function loadFixtureParseq(device: Device, options: LoadOptions = {}): Promise<Parseq> {
  const source = await openParameters(fixturePath('parseq/parseq_tiny.pt'));
  try {
    const model = await loadModel(device, source, { ...parseqOptions, ...options });
    if (!(model instanceof Parseq)) throw new Error('parseq_tiny.pt: is no PARSeq model.');
    return model;
  } finally {
    await source.close();
  }
}

/** What the shapes of the reference's models with adapters do not tell. */
export function adapterOptions(type: AdapterType): LoadOptions {
  return { decoderHeads: 4, ...(type.includes('ladder') ? { ladderBlocks: [0, 1] } : {}) };
}

/** Files of the reference's model with an adapter of a type; its CLIP is that of `fast`. */
function adapterFiles(type: AdapterType): string[] {
  const own = type === 'identity' ? ['decoder'] : ['decoder', type];
  return ['models/fast', ...own.map((name) => `adapters/${name}.weights`)].map((name) =>
    fixturePath(`${name}.safetensors`),
  );
}

const isOfFastDecoders = (name: string): boolean => /^(?:visual|cross)_decoder\./.test(name);

/** Names and shapes of {@link loadFixtureAdapter}'s models. */
export function fixtureAdapterShapes(type: AdapterType): ConfigurationSource {
  const shapes = adapterFiles(type).flatMap((file) => [...readSafetensorsShapes(file)]);
  const parameters = new Map(shapes.filter(([name]) => !isOfFastDecoders(name)));
  return { name: `${type}.ckpt`, family: 'str_adapter', configuration: {}, parameters };
}

export function fixtureAdapterTensors(type: AdapterType): Map<string, StoredTensor> {
  const tensors = adapterFiles(type).flatMap((file) => [...readSafetensors(file)]);
  return new Map(tensors.filter(([name]) => !isOfFastDecoders(name)));
}

/** @param reads as of `loadModel` */
export async function loadFixtureAdapter(
  device: Device,
  type: AdapterType,
  reads = false,
): Promise<StrAdapterModel> {
  const source = new StoredParameters(`${type}.ckpt`, 'str_adapter', fixtureAdapterTensors(type));
  const model = await loadModel(device, source, adapterOptions(type), reads);
  if (!(model instanceof StrAdapterModel)) throw new Error(`${type}: is no model with an adapter.`);
  return model;
}

/** The CLIP of `fast` as a plain CLIP with all 77 positions. */
export function fastClipParameters(): ParameterSource {
  const prefix = 'clip_model.';
  const tensors = [...readSafetensors(fixturePath('models/fast.safetensors'))]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, tensor]) => [name.slice(prefix.length), tensor] as const);
  return new StoredParameters('fast_clip', 'clip', new Map(tensors));
}

/** As a refiner has it. */
export async function loadClip(device: Device, source: ParameterSource): Promise<Clip> {
  try {
    const model = await loadModel(device, source, {}, true);
    if (!(model instanceof Clip)) throw new Error(`${source.name}: is no plain CLIP.`);
    return model;
  } finally {
    await source.close();
  }
}

/** Tensors in memory as the parameters of a model. */
class StoredParameters implements ParameterSource {
  readonly convention: ParameterSource['convention'];
  readonly configuration = {};
  readonly ignored = [];
  readonly parameters: ReadonlyMap<string, ParameterInfo>;

  constructor(
    readonly name: string,
    readonly family: 'clip4str' | 'str_adapter' | 'clip',
    private readonly tensors: ReadonlyMap<string, StoredTensor>,
  ) {
    this.convention = family === 'clip' ? 'openai-clip' : family;
    this.parameters = new Map(
      [...tensors].map(([tensorName, { shape, data }]) => [
        tensorName,
        { shape, dtype: 'f32', byteLength: 4 * data.length },
      ]),
    );
  }

  async readF32(name: string): Promise<Float32Array> {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new Error(`${this.name}: no tensor ${name}.`);
    return tensor.data as Float32Array;
  }

  async *readChunks(name: string): AsyncGenerator<{ elementOffset: number; values: Float32Array }> {
    yield { elementOffset: 0, values: await this.readF32(name) };
  }

  async close(): Promise<void> {}
}
