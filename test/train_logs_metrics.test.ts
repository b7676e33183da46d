import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AppendedFile } from '../train/logs/appended_file.js';
import { MetricsFile } from '../train/logs/metrics_file.js';
import { readMetrics } from '../train/logs/metrics_lines.js';
import { sample, stepEvent, validationEvent } from './support/training_events.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'metrics-'));
  path = join(folder, 'metrics.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

const content = () => readFileSync(path, 'utf8');
const steps = () =>
  content()
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { step: number }).step);

async function run(file: MetricsFile, ...numbers: readonly number[]): Promise<void> {
  for (const number of numbers) await file.step(stepEvent(number));
}

describe('metrics.jsonl', () => {
  test('has a line for each step and validation at once, and is read back', async () => {
    const file = await MetricsFile.open(path);
    const first = stepEvent(1);
    const second = stepEvent(2, { loss: NaN, gradientNorm: Infinity, crossLoss: undefined, skipped: true });
    const samplesOf = [sample({ image: new Uint8Array(1000) })];
    const validation = { ...validationEvent(2, samplesOf), unreadable: 3 };
    await file.step(first);
    expect(steps()).toEqual([1]);
    await file.step(second);
    await file.validation(validation);
    expect(steps()).toEqual([1, 2, 2]);
    expect(content()).not.toContain('samples":[');
    const read = [];
    for await (const { metrics } of readMetrics(path)) read.push(metrics);
    const { samples, ...results } = validation;
    expect(samples).toHaveLength(1);
    expect(read).toEqual([
      { kind: 'step', ...first },
      { kind: 'step', ...second, gradientNorm: NaN },
      { kind: 'validation', ...results },
    ]);
    await file.end();
  });

  test('of a run without steps is empty', async () => {
    await (await MetricsFile.open(path)).end();
    expect(content()).toBe('');
  });

  test('keeps hostile names on their line', async () => {
    const validation = validationEvent(1);
    const name = `"\n\u2028</script>${'x'.repeat(10_240)}`;
    const file = await MetricsFile.open(path);
    await file.validation({ ...validation, sets: [{ ...validation.combined, name }] });
    await file.step(stepEvent(2));
    await file.end();
    expect(steps()).toEqual([1, 2]);
    for await (const { metrics } of readMetrics(path)) {
      if (metrics.kind === 'validation') expect(metrics.sets[0]!.name).toBe(name);
    }
  });

  test.each([
    ['torn', '{"kind":"step","st'],
    ['torn in the middle of a character', Buffer.from('{"kind":"é').subarray(0, 10)],
    ['made of zeros', Buffer.alloc(100)],
    ['whole but without its end', JSON.stringify({ kind: 'step', ...stepEvent(6) })],
  ])('goes on after the step resumed from; the last line is %s', async (_, last) => {
    const killed = await MetricsFile.open(path);
    await run(killed, 1, 2, 3);
    await killed.validation(validationEvent(3));
    const kept = content();
    await run(killed, 4, 5);
    await killed.validation(validationEvent(5));
    appendFileSync(path, last);
    await killed.end();
    const resumed = await MetricsFile.open(path, { resumedFrom: 3 });
    expect(content()).toBe(kept);
    await run(resumed, 4, 5, 6);
    await resumed.end();
    expect(steps()).toEqual([1, 2, 3, 3, 4, 5, 6]);
    expect(readdirSync(folder)).toEqual(['metrics.jsonl']);
  });

  test('replaces steps that are done again in the same run', async () => {
    const file = await MetricsFile.open(path);
    await run(file, 1, 2, 3, 4, 3, 4, 5);
    await file.end();
    expect(steps()).toEqual([1, 2, 3, 4, 5]);
  });

  test('may be missing where a run is resumed', async () => {
    const file = await MetricsFile.open(path, { resumedFrom: 10 });
    await run(file, 11);
    await file.end();
    expect(steps()).toEqual([11]);
  });

  test('of another run is not written over', async () => {
    writeFileSync(path, 'mine\n');
    await expect(MetricsFile.open(path)).rejects.toThrow(
      'metrics.jsonl: holds the metrics of another run; resume that run or write to another folder',
    );
    expect(content()).toBe('mine\n');
  });

  test.each([
    ['no JSON', 'mine', 'line 2 is no JSON; move the file away to begin a new one'],
    ['another object', '{"kind":"step","step":-1}', 'line 2 is no step or validation (step: '],
    ['a list', '[]', 'line 2 is no step or validation ('],
    ['an endless line', 'x'.repeat(3 << 20), 'has a line longer than 1048576 bytes'],
  ])('with %s is left as it is', async (_, line, problem) => {
    const text = `${JSON.stringify({ kind: 'step', ...stepEvent(1) })}\n${line}\n`;
    writeFileSync(path, text);
    await expect(MetricsFile.open(path, { resumedFrom: 5 })).rejects.toThrow(`metrics.jsonl: ${problem}`);
    expect(content()).toBe(text);
    expect(readdirSync(folder)).toEqual(['metrics.jsonl']);
  });

  test('in a folder that is not there is an error that names it', async () => {
    await expect(MetricsFile.open(join(folder, 'none', 'metrics.jsonl'))).rejects.toThrow(
      'metrics.jsonl: no such file',
    );
  });
});

(existsSync('/dev/full') ? test : test.skip)('a full disk is named', async () => {
  const file = await AppendedFile.open('/dev/full', 'r+');
  await expect(file.append(Buffer.from('line\n'))).rejects.toThrow(
    'full: cannot be written: the disk is full',
  );
  await file.close();
});
