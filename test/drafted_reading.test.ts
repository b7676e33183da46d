/** Reading from a draft is reading step by step, whatever the draft says. */
import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import { Branch } from '../model/branch.js';
import type { BranchReading } from '../model/branch_reading.js';
import type { Clip4StrModel } from '../model/clip4str.js';
import { Decoder, type PreparedMemory, branchNames } from '../model/decoder.js';
import { draftContext, rowsToReadAgain } from '../model/draft.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { type FixtureModel, useFixtureModels } from './support/fixture_models.js';
import { readTensorFixture } from './support/fixtures.js';
import { upload } from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('reading from drafts');
const modelOf = useFixtureModels(device);
const images = readTensorFixture('forward/fast_A.safetensors').get('images');
const positions = 26;

/** A reading on the host, and where each of its texts ends: at the end token's position, or behind the last. */
interface Read {
  readonly ids: Uint32Array;
  readonly logits: Float32Array;
  readonly ends: readonly number[];
}

async function onHost({ ids, logits }: BranchReading, endId: number): Promise<Read> {
  const read = (await ids.read()) as Uint32Array;
  const length = 1 + positions;
  const ends = Array.from({ length: read.length / length }, (_, row) => {
    const end = read.subarray(row * length + 1, (row + 1) * length).indexOf(endId);
    return end < 0 ? positions : end;
  });
  return { ids: read, logits: (await logits.read()) as Float32Array, ends };
}

/** Of all rows, what lies before and at their ends. */
function upToEnds<T extends Uint32Array | Float32Array>(values: T, { ends }: Read, width: number): number[] {
  const size = values.length / ends.length;
  const first = width === 1 ? 1 : 0;
  return ends.flatMap((end, row) => [
    ...values.subarray(row * size + first, row * size + first + Math.min(end + 1, positions) * width),
  ]);
}

/** A branch of the model, and what it looks at. */
async function branchOf(model: Clip4StrModel): Promise<{ branch: Branch; memory: PreparedMemory }> {
  const { parameters, configuration, tokenizer } = model;
  const names = branchNames('visual_decoder');
  const branch = new Branch(
    device(),
    new Decoder(device(), parameters, names, configuration.visualDecoder),
    tokenizer,
  );
  return { branch, memory: branch.prepareMemory(model.encodeImages(upload(device(), images)).visual) };
}

describe.each<FixtureModel>(['fast', 'fast_variant_depth2'])('%s', (name) => {
  /** Drafts made from the right ids `[batch, 1 + positions]`. */
  const drafts: readonly [string, (right: Uint32Array, endId: number) => Uint32Array][] = [
    ['the right text', (right) => right],
    ['another first character', (right) => right.map((id, at) => (at % (1 + positions) === 1 ? id ^ 1 : id))],
    [
      'another character in one row',
      (right) => right.map((id, at) => (at === 1 + positions + 3 ? id ^ 1 : id)),
    ],
    // Characters that no pass foretells: the row goes step by step in the end.
    [
      'one character many times in one row',
      (right) => right.map((id, at) => (at > 0 && at <= positions ? 7 : id)),
    ],
    ['nothing', (right, endId) => right.map((id, at) => (at % (1 + positions) === 0 ? id : endId))],
    ['one character many times', (right) => right.map((id, at) => (at % (1 + positions) === 0 ? id : 7))],
    ['fewer positions', (right) => right.filter((_, at) => at % (1 + positions) < 3)],
  ];
  test.each(drafts)('%s', (_, draftOf) =>
    device().scope(async () => {
      const model = await modelOf(name);
      const { classes, endId } = model.tokenizer;
      const { branch, memory } = await branchOf(model);
      const batch = images.shape[0]!;
      const looked = (): Tensor => device().empty('f32', [batch, positions, memory[0]!.key.shape[2]!]);
      const [steps, passes] = [looked(), looked()];
      const expected = await onHost(
        await branch.readStepwise(memory, batch, positions, { attentionInto: steps }),
        endId,
      );
      const draft = draftOf(expected.ids, endId);
      const kept = { keepsWork: true };
      for (const options of [{}, kept, kept, { attentionInto: passes }]) {
        const read = await onHost(await branch.readDrafted(draft, batch, positions, memory, options), endId);
        expect(read.ends).toEqual(expected.ends);
        expect(upToEnds(read.ids, read, 1)).toEqual(upToEnds(expected.ids, expected, 1));
        report.compare(
          `${name}: logits`,
          upToEnds(read.logits, read, classes),
          upToEnds(expected.logits, expected, classes),
        );
      }
      const [stepwise, drafted] = (await device().readAll([steps, passes])) as Float32Array[];
      const tokens = memory[0]!.key.shape[2]!;
      report.compare(
        `${name}: where it looked`,
        upToEnds(drafted!, expected, tokens),
        upToEnds(stepwise!, expected, tokens),
      );
      branch.dispose();
    }),
  );

  test.each([
    { draft: 'a right one', wrong: [] as number[], readBacks: 1, goesStepwise: false },
    { draft: 'one row with another text', wrong: [0], readBacks: 6, goesStepwise: true },
  ])('$draft takes few passes, and steps where these are not enough', ({ wrong, readBacks, goesStepwise }) =>
    device().scope(async () => {
      const { branch, memory } = await branchOf(await modelOf(name));
      const batch = images.shape[0]!;
      const { ids } = await branch.readStepwise(memory, batch, positions);
      const right = (await ids.read()) as Uint32Array;
      const draft = right.map((id, at) => {
        const [row, position] = [Math.floor(at / (1 + positions)), at % (1 + positions)];
        return wrong.includes(row) && position > 0 ? 7 : id;
      });
      device().resetStatistics();
      await branch.readDrafted(draft, batch, positions, memory);
      const { counts } = device();
      expect(counts.readBacks).toBe(readBacks);
      // Steps are looked at for their ends, passes are waited for.
      expect(counts.peeks > 0).toBe(goesStepwise);
    }),
  );
});

test('a draft is context behind its begin token, filled up with end tokens', () => {
  const begin = 9;
  expect([...draftContext(Uint32Array.of(begin, 1, 2, begin, 3, 4), 2, 5, 0)]).toEqual([
    ...[begin, 1, 2, 0, 0],
    ...[begin, 3, 4, 0, 0],
  ]);
  expect([...draftContext(Uint32Array.of(begin, 1, 2, 3), 1, 3, 0)]).toEqual([begin, 1, 2]);
});

test.each([
  { name: 'the same', context: [9, 1, 2], read: [9, 1, 2, 3], again: [] },
  { name: 'another last character, which nothing sees', context: [9, 1, 2], read: [9, 1, 2, 4], again: [] },
  { name: 'another first character', context: [9, 1, 2], read: [9, 4, 2, 3], again: [0] },
  { name: 'another one before the last', context: [9, 1, 2], read: [9, 1, 4, 3], again: [0] },
  { name: 'an earlier end', context: [9, 1, 2], read: [9, 0, 5, 6], again: [] },
  { name: 'a later end', context: [9, 1, 0], read: [9, 1, 4, 0], again: [0] },
])('rows to read again: $name', ({ context, read, again }) => {
  expect(rowsToReadAgain(Uint32Array.from(context), Uint32Array.from(read), 3, 0)).toEqual(again);
});
