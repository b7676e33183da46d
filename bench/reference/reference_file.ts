import { CheckpointError, type StoredTensor, openCheckpoint, type Checkpoint } from '../../weights/index.js';
import { type ReferenceMetadata, metadataSchemas } from './format.js';

/** What a file of another program calls things, and what it does not tell. */
export interface ReferenceReading {
  /** Names of its tensors, by those of the format; a tensor of another name is then not looked for. */
  readonly names?: Readonly<Record<string, string>>;
  /** In place of the file's. */
  readonly metadata?: ReferenceMetadata;
}

const floats: ReadonlySet<string> = new Set(['f64', 'f32', 'f16', 'bf16']);

/** An open reference, whose tensors are read a batch at a time: see `format.ts`. */
export class ReferenceFile {
  private constructor(
    private readonly file: Checkpoint,
    private readonly storedNames: ReadonlyMap<string, string>,
    /** All but `images`, by their names in the format. */
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    readonly metadata: ReferenceMetadata,
    readonly imageCount: number,
    /** `[height, width]`. */
    readonly imageSize: readonly [number, number],
  ) {}

  /**
   * Opens a reference; nothing but its header is read.
   * @throws CheckpointError in one line that names the file, what is odd about it and what is expected
   */
  static async open(path: string, { names, metadata }: ReferenceReading = {}): Promise<ReferenceFile> {
    const file = await openCheckpoint(path);
    try {
      const storedNames = new Map(
        names ? Object.entries(names) : [...file.tensors.keys()].map((name) => [name, name]),
      );
      storedNames.set('images', 'images');
      const [count, , height, width] = checkImages(file);
      const tensors = new Map<string, StoredTensor>();
      for (const [name, stored] of storedNames) {
        const tensor = file.tensors.get(stored);
        if (tensor && name !== 'images') tensors.set(name, tensor);
      }
      const told = { ...checkMetadata(file, count), ...metadata };
      return new ReferenceFile(file, storedNames, tensors, told, count, [height, width]);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get name(): string {
    return this.file.name;
  }

  /** The values of some images after the others: each turn gives those of `batchSize` images, the last one of the rest. */
  rows(name: string, batchSize: number): AsyncIterator<{ readonly values: Float32Array }> {
    const stored = this.storedNames.get(name)!;
    const { shape } = this.file.tensors.get(stored)!;
    const elements = shape.slice(1).reduce((product, side) => product * side, batchSize);
    const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
    return this.file.readChunks(stored, bytes)[Symbol.asyncIterator]();
  }

  /** How messages name an image: by its number, and its file where the reference tells it. */
  imageName(image: number): string {
    const file = this.metadata.files?.[image];
    return file === undefined ? `image ${image}` : `image ${image} (${file})`;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** Whether a tensor's numbers are of the kind that features and logits are. */
export function isFloat({ dtype }: Pick<StoredTensor, 'dtype'>): boolean {
  return floats.has(dtype);
}

function checkImages(file: Checkpoint): readonly [number, number, number, number] {
  const images = file.tensors.get('images');
  const wanted = 'a reference has normalised pixels images [n,3,height,width] of floating-point numbers';
  if (!images) {
    throw new CheckpointError(
      file.name,
      `has no tensor images; ${wanted}. Write one with export.py, see bench --help`,
    );
  }
  const { shape } = images;
  if (shape.length !== 4 || shape[1] !== 3 || shape.includes(0)) {
    throw new CheckpointError(file.name, `its tensor images is [${shape.join(',')}]; ${wanted}`);
  }
  if (!isFloat(images))
    throw new CheckpointError(file.name, `its tensor images is ${images.dtype}; ${wanted}`);
  return shape as unknown as readonly [number, number, number, number];
}

function checkMetadata({ name: file, configuration }: Checkpoint, images: number): ReferenceMetadata {
  const known = Object.entries(metadataSchemas).filter(([key]) => configuration[key] !== undefined);
  const metadata = Object.fromEntries(
    known.map(([key, { schema, expected }]) => {
      const value = configuration[key];
      const parsed = schema.safeParse(value);
      if (!parsed.success) {
        const seen = JSON.stringify(value).slice(0, 80);
        throw new CheckpointError(file, `its metadata ${key} is ${seen}; expected ${expected}`);
      }
      return [key, parsed.data];
    }),
  ) as ReferenceMetadata;
  for (const key of ['texts', 'visual_texts', 'files'] as const) {
    const given = metadata[key]?.length;
    if (given !== undefined && given !== images) {
      throw new CheckpointError(
        file,
        `its metadata ${key} has ${given} entries; expected ${images}, one an image`,
      );
    }
  }
  return metadata;
}
