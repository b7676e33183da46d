import type { Device } from '../../engine/index.js';
import {
  CharsetAdapter,
  Clip4StrModel,
  type DecodingOptions,
  type Recognizer,
  finalDecoder,
} from '../../model/index.js';
import { CheckpointError } from '../../weights/index.js';
import { type HostTensor, computeStages } from './compute_stages.js';
import { type Stage, stagesOf, visualStage } from './format.js';
import type { ReferenceFile } from './reference_file.js';
import type { PartedImage, ReferenceReport } from './report.js';
import { StageComparison } from './stage_comparison.js';
import { TextComparison } from './text_comparison.js';

export interface CompareOptions {
  /** Largest absolute error that agrees. */
  readonly tolerance: number;
  /** Images computed together where they do not stop together. Default 16; a smaller one takes less memory. */
  readonly batchSize?: number | undefined;
  /** Ends the comparison between two batches. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneImages: number) => void) | undefined;
}

const defaultBatchSize = 16;

/**
 * Reads a reference's images and compares what every stage computes with its tensors.
 *
 * An error near a tie makes another class lead, and everything later follows from that. Where the reference's margin is at
 * most twice the tolerance this is agreement as well: what follows from it is left out, and counted.
 * @param model the one that the reference was computed with, in any precision
 * @throws CheckpointError where the reference does not fit the model, or asks for what it cannot do
 */
export async function compareReference(
  device: Device,
  model: Recognizer,
  file: ReferenceFile,
  options: CompareOptions,
): Promise<ReferenceReport> {
  const { decoding, batchSize, assumed } = planOf(model, file, options);
  const stages = stagesOf(model instanceof Clip4StrModel, decoding.refineIterations, decoding.autoregressive);
  const compared = stages.filter(({ name }) => file.tensors.has(name));
  if (compared.length === 0 && !file.metadata.texts) {
    throw new CheckpointError(
      file.name,
      `has nothing to compare; expected tensors ${stages.map(({ name }) => name).join(', ')}`,
    );
  }
  const comparisons = new Map(
    compared.map((stage) => [
      stage.name,
      new StageComparison(stage, file, model.tokenizer, 2 * options.tolerance),
    ]),
  );
  const run = new ComparisonRun(file, stages, comparisons, options.tolerance);
  const lastVisual = model instanceof Clip4StrModel ? visualStage(decoding.refineIterations) : undefined;
  const texts = new TextComparison(file, model.tokenizer, 2 * options.tolerance, lastVisual);
  const pixels = file.rows('images', batchSize);
  for (let first = 0; first < file.imageCount; first += batchSize) {
    options.signal?.throwIfAborted();
    const batch = await nextImages(file, pixels, first, batchSize);
    const computed = await computeStages(device, model, batch, decoding, (name) => comparisons.has(name));
    await run.add(computed, first, batchSize);
    texts.add(computed, comparisons, first, (image) => run.parted.get(image));
    options.onProgress?.(Math.min(first + batchSize, file.imageCount));
  }
  const stageReports = [...comparisons.values()].map((comparison) => comparison.report());
  const known = new Set(stages.map(({ name }) => name));
  return {
    reference: file.name,
    images: file.imageCount,
    tolerance: options.tolerance,
    decoding: {
      autoregressive: decoding.autoregressive,
      refineIterations: decoding.refineIterations,
      stopping: decoding.stopping,
      batchSize,
      maxLabelLength: decoding.maxLabelLength ?? finalDecoder(model.configuration).maxLabelLength,
    },
    versions: file.metadata.versions ?? {},
    stages: stageReports,
    textsCompared: texts.compared,
    textDifferences: texts.differences,
    parted: [...run.parted.values()],
    missing: stages.flatMap(({ name }) => (comparisons.has(name) ? [] : [name])),
    unknown: [...file.tensors.keys()].filter((name) => !known.has(name)),
    assumed,
    agrees:
      stageReports.every(
        ({ misfit, largestError }) => misfit === undefined && largestError <= options.tolerance,
      ) && texts.differences.every(({ withinTolerance }) => withinTolerance),
  };
}

/** The stages of all batches, and the images whose reading took another way. */
class ComparisonRun {
  /** By their images: the first parting of each. */
  readonly parted = new Map<number, PartedImage>();

  constructor(
    private readonly file: ReferenceFile,
    private readonly stages: readonly Stage[],
    private readonly comparisons: ReadonlyMap<string, StageComparison>,
    private readonly tolerance: number,
  ) {}

  async add(computed: ReadonlyMap<string, HostTensor>, first: number, batchSize: number): Promise<void> {
    for (const { name } of this.stages) {
      const comparison = this.comparisons.get(name);
      if (!comparison) continue;
      const follows = (image: number): boolean => this.parted.get(image)?.withinTolerance ?? false;
      const partings = await comparison.add(computed.get(name)!, first, batchSize, follows);
      for (const [image, { position, margin }] of partings) {
        if (this.parted.has(image)) continue;
        const file = this.file.metadata.files?.[image];
        const withinTolerance = margin <= 2 * this.tolerance;
        const told = file === undefined ? {} : { file };
        this.parted.set(image, { image, ...told, stage: name, position, margin, withinTolerance });
      }
    }
  }
}

async function nextImages(
  file: ReferenceFile,
  pixels: AsyncIterator<{ readonly values: Float32Array }>,
  first: number,
  batchSize: number,
): Promise<HostTensor> {
  const next = await pixels.next();
  const data = next.done ? new Float32Array() : next.value.values;
  const [height, width] = file.imageSize;
  const size = 3 * height * width;
  const odd = data.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0) {
    const name = file.imageName(first + Math.floor(odd / size));
    throw new CheckpointError(file.name, `${name} has a pixel ${data[odd]}; expected finite numbers`);
  }
  return { shape: [Math.min(batchSize, file.imageCount - first), 3, height, width], data };
}

/** How the reference was decoded, with the model's own ways where it does not tell. */
function planOf(
  { configuration }: Recognizer,
  file: ReferenceFile,
  options: CompareOptions,
): { decoding: DecodingOptions; batchSize: number; assumed: string[] } {
  const { metadata } = file;
  const fail = (problem: string): never => {
    throw new CheckpointError(file.name, problem);
  };
  const [height, width] = configuration.image.imageSize;
  if (file.imageSize[0] !== height || file.imageSize[1] !== width) {
    fail(
      `images are ${file.imageSize.join('x')}; this model takes ${height}x${width}. ` +
        'Give the checkpoint that the reference was computed with',
    );
  }
  const { maxLabelLength: longest } = finalDecoder(configuration);
  const limit = metadata.max_label_length;
  if (limit !== undefined && limit > longest) {
    fail(`its metadata max_label_length is ${limit}; this model reads at most ${longest} characters`);
  }
  const assumed: string[] = [];
  const taken = <T extends string | number | boolean>(key: string, told: T | undefined, own: T): T => {
    if (told === undefined) assumed.push(`${key} is not told; taken: ${own}`);
    return told ?? own;
  };
  const stopping = taken('stopping', metadata.stopping, 'independent');
  if (stopping === 'batch' && metadata.batch_size === undefined) {
    fail(
      'its images stopped together, so that readings depend on their batch mates, but its metadata has no ' +
        'batch_size; expected how many images were computed together',
    );
  }
  if (stopping === 'batch' && options.batchSize !== undefined && options.batchSize !== metadata.batch_size) {
    fail(
      `its images stopped together in batches of ${metadata.batch_size}; they cannot be compared in batches of ` +
        `${options.batchSize}. Leave the batch size out`,
    );
  }
  return {
    decoding: {
      autoregressive: taken('decode_ar', metadata.decode_ar, configuration.decodeAutoregressive),
      refineIterations: taken('refine_iters', metadata.refine_iters, configuration.refineIterations),
      stopping,
      captionAdapter: new CharsetAdapter(metadata.charset_test ?? configuration.testCharset),
      ...(limit === undefined ? {} : { maxLabelLength: limit }),
    },
    batchSize: stopping === 'batch' ? metadata.batch_size! : (options.batchSize ?? defaultBatchSize),
    assumed,
  };
}
