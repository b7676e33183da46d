import { type CharsetTokenizer, readingFromLogits } from '../../model/index.js';
import { invalidLogit } from '../../model/reading_text.js';
import type { HostTensor } from './compute_stages.js';
import type { ReferenceFile } from './reference_file.js';
import type { PartedImage, TextDifference } from './report.js';
import { logitsDifference } from './row_differences.js';
import { type StageComparison, rowOf } from './stage_comparison.js';

/** Compares the texts that logits make with those that the reference tells, or that its own logits make. */
export class TextComparison {
  readonly differences: TextDifference[] = [];
  /** Texts of which the reference tells anything. */
  compared = 0;

  /** @param lastVisual the visual branch's last stage, where the model has one */
  constructor(
    private readonly file: ReferenceFile,
    private readonly tokenizer: CharsetTokenizer,
    private readonly allowedMargin: number,
    private readonly lastVisual: string | undefined,
  ) {}

  /** @param first number of the batch's first image */
  add(
    computed: ReadonlyMap<string, HostTensor>,
    comparisons: ReadonlyMap<string, StageComparison>,
    first: number,
    partedOf: (image: number) => PartedImage | undefined,
  ): void {
    const { texts, visual_texts: visualTexts } = this.file.metadata;
    const branches = [
      { branch: 'result', stage: 'logits', told: texts },
      { branch: 'visual', stage: this.lastVisual, told: visualTexts },
    ] as const;
    for (const { branch, stage, told } of branches) {
      if (stage === undefined) continue;
      const logits = computed.get(stage)!;
      const reference = comparisons.get(stage)?.expected;
      for (let row = 0; row < logits.shape[0]!; row++) {
        const image = first + row;
        const expectedLogits = reference && rowOf(reference, row);
        const expected = told?.[image] ?? (expectedLogits && this.textOf(expectedLogits));
        if (expected === undefined || expected === null) continue;
        this.compared += 1;
        const own = rowOf(logits, row);
        const actual = this.textOf(own);
        if (actual === expected) continue;
        const parting = expectedLogits && this.parting(own, expectedLogits);
        const file = this.file.metadata.files?.[image];
        this.differences.push({
          image,
          ...(file === undefined ? {} : { file }),
          branch,
          expected,
          actual,
          position: parting?.position ?? null,
          margin: parting?.margin ?? null,
          withinTolerance: partedOf(image)?.withinTolerance ?? false,
        });
      }
    }
  }

  /** The text before the first end token, at the positions that were computed; null where logits are not numbers. */
  private textOf(logits: Float32Array): string | null {
    const { classes } = this.tokenizer;
    let end = logits.length;
    while (end > 0 && logits.subarray(end - classes, end).every(Number.isNaN)) end -= classes;
    const computed = logits.slice(0, end);
    if (invalidLogit(computed, classes) !== undefined) return null;
    return readingFromLogits(computed, this.tokenizer).text;
  }

  private parting(
    actual: Float32Array,
    expected: Float32Array,
  ): ReturnType<typeof logitsDifference>['parting'] {
    const { classes, endId } = this.tokenizer;
    const traits = { classes, endId, steps: false, allowedMargin: this.allowedMargin };
    return logitsDifference(actual, expected, traits).parting;
  }
}
