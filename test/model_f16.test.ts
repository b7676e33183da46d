/**
 * Half precision against the original's single precision. Where two logits lie closer than twice the tolerance, half
 * precision may choose the other; what is read after that position has another context and is not compared.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Clip4StrModel } from '../model/clip4str.js';
import type { Parseq } from '../model/parseq.js';
import { greedyIds } from '../model/reading_text.js';
import { useDevice } from './support/device.js';
import { useErrorReport, useSummary } from './support/error_report.js';
import { loadFixtureModel, loadFixtureParseq } from './support/fixture_models.js';
import { type TensorFixture, readTensorFixture } from './support/fixtures.js';
import { type HostTensor, recognize } from './support/recognize.js';

const tolerance = 2e-2;
const device = useDevice();
const report = useErrorReport('half precision', tolerance);
const flips = useSummary('choices that differ in half precision');

interface Stage {
  readonly name: string;
  readonly actual: HostTensor;
  readonly expected: HostTensor;
  /** Whether a position's context is what was read before it, or the reading of the stage before. */
  readonly stepwise: boolean;
}

/**
 * Compares the rows whose context is still the reference's.
 * @returns the rows whose text is the reference's as well
 */
function compareRows({ name, actual, expected, stepwise }: Stage, rows: readonly number[]): number[] {
  const [, positions, classes] = expected.shape as [number, number, number];
  const rowOf = ({ data, shape }: HostTensor, row: number): Float32Array => {
    const size = shape[1]! * classes;
    return data.subarray(row * size, row * size + positions * classes);
  };
  return rows.filter((row) => {
    const [own, reference] = [rowOf(actual, row), rowOf(expected, row)];
    const [ownIds, referenceIds] = [greedyIds(own, classes), greedyIds(reference, classes)];
    const flipped = [...referenceIds.keys()].filter((at) => ownIds[at] !== referenceIds[at]);
    const compared = stepwise && flipped.length > 0 ? flipped[0]! + 1 : positions;
    const cut = compared * classes;
    report.compare(name, own.subarray(0, Math.min(cut, own.length)), reference.subarray(0, cut));
    const binding = flipped.filter((at) => at < compared);
    for (const at of binding) {
      const margin = marginOf(reference.subarray(at * classes, (at + 1) * classes));
      flips.push(`${name}, image ${row}, position ${at}: margin ${margin.toExponential(1)}`);
      expect(margin).toBeLessThanOrEqual(2 * tolerance);
    }
    const end = referenceIds.indexOf(0);
    return binding.length === 0 || (end >= 0 && binding.every((at) => at > end));
  });
}

/** Gap between the two highest logits. */
function marginOf(logits: Float32Array): number {
  const [first, second] = [...logits].sort((a, b) => b - a);
  return first! - second!;
}

function stored(tensors: TensorFixture, name: string): HostTensor {
  return { shape: tensors.get(name).shape, data: tensors.floats(name) };
}

describe.each([
  { batch: 'fast_A', name: 'fast' },
  { batch: 'fast_B', name: 'fast' },
  { batch: 'p16_A', name: 'p16' },
] as const)('$batch', ({ batch, name }) => {
  let model: Clip4StrModel;
  beforeAll(async () => {
    model = await loadFixtureModel(device(), name, { precision: 'f16' }, true);
  });
  afterAll(() => model.parameters.dispose());

  test('features, both branches and three refinements', async () => {
    const tensors = readTensorFixture(`forward/${batch}.safetensors`);
    const images = tensors.get('images');
    const { stages } = await recognize(device(), model, images, { refineIterations: 3 });
    report.compare(`${batch} memory`, stages.get('memory')!.data, tensors.floats('memory'));
    const compare = (stage: string, tensor: string, rows: readonly number[]): number[] =>
      compareRows(
        {
          name: `${batch} ${tensor}`,
          actual: stages.get(stage)!,
          expected: stored(tensors, tensor),
          stepwise: !stage.includes('refined'),
        },
        rows,
      );
    const all = [...Array(images.shape[0]).keys()];
    let seen = compare('visual_logits', 'vis_ar_logits', all);
    let read = compare('cross_logits', 'crs_ar_logits', seen);
    for (const pass of [1, 2, 3]) {
      seen = compare(`visual_refined_logits_${pass}`, `vis_ref${pass}_logits`, seen);
      const sameContext = read.filter((row) => seen.includes(row));
      read = compare(`cross_refined_logits_${pass}`, `crs_ref${pass}_logits`, sameContext);
    }
    expect(read.length).toBeGreaterThan(0);
  });
});

describe('PARSeq', () => {
  let model: Parseq;
  beforeAll(async () => {
    model = await loadFixtureParseq(device(), { precision: 'f16' });
  });
  afterAll(() => model.parameters.dispose());

  test.each([
    { way: 'ar', autoregressive: true },
    { way: 'nar', autoregressive: false },
  ])('autoregressive: $autoregressive', async ({ way, autoregressive }) => {
    const tensors = readTensorFixture('parseq/parseq_refs.safetensors');
    const images = tensors.get('images');
    const { stages } = await recognize(device(), model, images, { autoregressive, refineIterations: 2 });
    report.compare('PARSeq memory', stages.get('memory')!.data, tensors.floats('memory'));
    let rows = [...Array(images.shape[0]).keys()];
    for (const [pass, stage] of ['first_logits', 'refined_logits_1', 'refined_logits_2'].entries()) {
      const tensor = `logits_${way}_r${pass}`;
      const stepwise = autoregressive && pass === 0;
      const [actual, expected] = [stages.get(stage)!, stored(tensors, tensor)];
      rows = compareRows({ name: `PARSeq ${tensor}`, actual, expected, stepwise }, rows);
    }
    expect(rows.length).toBeGreaterThan(0);
  });
});
