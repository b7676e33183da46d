import { type CharsetTokenizer, readingLimits } from '../../model/index.js';
import type { StoredTensor } from '../../weights/index.js';
import type { HostTensor } from './compute_stages.js';
import type { Stage } from './format.js';
import { type ReferenceFile, isFloat } from './reference_file.js';
import type { Place, StageReport } from './report.js';
import {
  type Difference,
  type Parting,
  further,
  largestDifference,
  logitsDifference,
} from './row_differences.js';

/** Compares one stage, batch by batch, and keeps where it is furthest off. */
export class StageComparison {
  /** The reference's values of the batch that was compared last. */
  expected: HostTensor | undefined;
  private rows: AsyncIterator<{ readonly values: Float32Array }> | undefined;
  private misfit: string | undefined;
  private comparedValues = 0;
  private largest: { image: number; columns: number; difference: Difference } | undefined;
  private readonly leftOut = new Set<number>();

  /** @param allowedMargin partings with a smaller margin are within the tolerance */
  constructor(
    readonly stage: Stage,
    private readonly file: ReferenceFile,
    private readonly tokenizer: CharsetTokenizer,
    private readonly allowedMargin: number,
  ) {}

  /**
   * Compares the next batch.
   * @param computed what the model gave
   * @param first number of its first image
   * @param batchSize images of a whole batch
   * @param leaveOut whether an image follows from a parting within the tolerance
   * @returns the images' partings, of logits alone
   */
  async add(
    computed: HostTensor,
    first: number,
    batchSize: number,
    leaveOut: (image: number) => boolean,
  ): Promise<Map<number, Parting>> {
    const partings = new Map<number, Parting>();
    const stored = this.file.tensors.get(this.stage.name)!;
    this.misfit ??= misfitOf(this.stage, stored, computed.shape, this.file.imageCount);
    if (this.misfit !== undefined) return partings;
    this.rows ??= this.file.rows(this.stage.name, batchSize);
    const next = await this.rows.next();
    const values = next.done ? new Float32Array() : next.value.values;
    const batch = computed.shape[0]!;
    this.expected = { shape: [batch, ...stored.shape.slice(1)], data: values };
    for (let row = 0; row < batch; row++) {
      const image = first + row;
      const [actual, expected] = [rowOf(computed, row), rowOf(this.expected, row)];
      if (leaveOut(image)) this.leftOut.add(image);
      else {
        const parting = this.compare(image, actual, expected);
        if (parting) partings.set(image, parting);
      }
    }
    return partings;
  }

  report(): StageReport {
    const { stage, misfit, comparedValues, largest } = this;
    return {
      stage: stage.name,
      kind: stage.kind,
      ...(misfit === undefined ? {} : { misfit }),
      comparedValues,
      largestError: largest?.difference.error ?? 0,
      ...(largest ? { at: this.place(largest) } : {}),
      imagesLeftOut: this.leftOut.size,
    };
  }

  private compare(image: number, actual: Float32Array, expected: Float32Array): Parting | undefined {
    const { kind } = this.stage;
    if (kind === 'features' || kind === 'tokens') {
      this.note(image, this.expected!.shape.at(-1)!, largestDifference(actual, expected));
      this.comparedValues += expected.length;
      return undefined;
    }
    const { classes, endId } = this.tokenizer;
    const { largest, comparedValues, parting, cut } = logitsDifference(actual, expected, {
      classes,
      endId,
      steps: kind === 'steps',
      allowedMargin: this.allowedMargin,
    });
    this.note(image, classes, largest);
    this.comparedValues += comparedValues;
    if (cut) this.leftOut.add(image);
    return parting;
  }

  private note(image: number, columns: number, difference: Difference | undefined): void {
    if (!difference || further(this.largest?.difference, difference) !== difference) return;
    this.largest = { image, columns, difference };
  }

  private place({ image, columns, difference }: NonNullable<StageComparison['largest']>): Place {
    const { index, actual, expected } = difference;
    const file = this.file.metadata.files?.[image];
    const column = index % columns;
    const isLogits = this.stage.kind === 'steps' || this.stage.kind === 'logits';
    return {
      image,
      ...(file === undefined ? {} : { file }),
      index: this.stage.kind === 'tokens' ? [column] : [Math.floor(index / columns), column],
      ...(isLogits ? { character: this.tokenizer.tokens([column])[0]! } : {}),
      actual,
      expected,
    };
  }
}

/** The values of one image. */
export function rowOf({ data, shape }: HostTensor, row: number): Float32Array {
  const size = shape.slice(1).reduce((product, side) => product * side, 1);
  return data.subarray(row * size, (row + 1) * size);
}

/** Why a reference's tensor cannot be compared with what a model computes; undefined where it can. */
function misfitOf(
  { kind }: Stage,
  { shape, dtype }: StoredTensor,
  computed: readonly number[],
  images: number,
): string | undefined {
  const own = computed.slice(1);
  const isLogits = kind === 'steps' || kind === 'logits';
  // Positions that were computed on one side only are told as such, one by one.
  const wanted = isLogits ? [images, 'positions', own[1]] : [images, ...own];
  const fits =
    shape.length === wanted.length &&
    shape.every((side, axis) =>
      isLogits && axis === 1 ? side <= readingLimits.labelLength + 1 : side === wanted[axis],
    );
  if (!fits) return `is [${shape.join(',')}]; this model and ${images} images give [${wanted.join(',')}]`;
  if (kind === 'tokens' ? /^[iu]/.test(dtype) : isFloat({ dtype })) return undefined;
  return `is ${dtype}; expected ${kind === 'tokens' ? 'whole numbers' : 'floating-point numbers'}`;
}
