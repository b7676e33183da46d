import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { ProgressLine, type ProgressLineOptions } from '../train/logs/progress_line.js';
import { formatDuration, formatMeasure } from '../train/logs/quantities.js';
import { stepEvent, validationEvent } from './support/training_events.js';

function observe(options: ProgressLineOptions = {}, terminal: { isTTY?: boolean; columns?: number } = {}) {
  const stream = Object.assign(new PassThrough(), terminal, {
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
  });
  const line = new ProgressLine({ ...options, stream });
  return { line, written: () => ((stream.read() as Buffer | null) ?? '').toString() };
}

afterEach(() => {
  jest.restoreAllMocks();
});

describe('in a pipe', () => {
  test('a line has all that is to be known', () => {
    const { line, written } = observe();
    line.step(stepEvent(1, { loss: 0.51239 }));
    expect(written()).toBe(
      'step 1/1000 · loss 0.5124 · 256 images/s · 4 min 10 s left · wait 4 % · lr 8.4e-5 1.6e-3 · ' +
        'memory 3.2 GB · 2.0 TFLOP/s (25 % of peak)\n',
    );
  });

  test('lines come at the first step, after a while, and at the last step', () => {
    const now = jest.spyOn(performance, 'now');
    const { line, written } = observe({ plainLineSeconds: 10 });
    for (let step = 1; step <= 1000; step++) {
      now.mockReturnValue(step * 25);
      line.step(stepEvent(step));
    }
    const shown = written()
      .trimEnd()
      .split('\n')
      .map((text) => text.split(' ')[1]);
    expect(shown).toEqual(['1/1000', '401/1000', '801/1000', '1000/1000']);
  });

  test('speed and time left are smoothed', () => {
    const { line, written } = observe({ plainLineSeconds: 0 });
    for (let step = 1; step < 50; step++) line.step(stepEvent(step));
    written();
    line.step(stepEvent(50, { stepMs: 500 }));
    const [speed] = /[\d.]+(?= images)/.exec(written())!;
    expect(Number(speed)).toBeGreaterThan(245);
    expect(Number(speed)).toBeLessThan(256);
  });

  test('losses that are not finite and skipped steps are named; control characters are not passed on', () => {
    const { line, written } = observe();
    line.step(stepEvent(1, { loss: NaN, skipped: true, stepMs: 0 }));
    line.notice('bad\u001b[2J image\n"<b>"');
    const lines = written().split('\n');
    expect(lines[0]).toContain('loss NaN (skipped) · 0.00 images/s · 0 s left');
    expect(lines.slice(1)).toEqual(['bad [2J image "<b>"', '']);
  });

  test('validations, checkpoints and the end have a line each', () => {
    const { line, written } = observe();
    const { sets, combined } = validationEvent(100);
    line.validation(validationEvent(100));
    line.validation({ ...validationEvent(200), sets: [], unreadable: 3 });
    line.checkpoint({ step: 100, path: 'run/last.safetensors', kind: 'last' });
    line.checkpoint({ step: 100, path: 'run/best.safetensors', kind: 'best' });
    line.end({ step: 0, reason: 'failed', message: 'told elsewhere' });
    const [first, second, ...rest] = written().split('\n');
    expect(first).toBe(
      `step 100: accuracy ${combined.accuracy.toFixed(2)} % · 1 - NED ${combined.ned.toFixed(2)} % · 400 images · ` +
        `IIIT5k ${sets[0]!.accuracy.toFixed(2)} · SVT ${sets[1]!.accuracy.toFixed(2)}`,
    );
    expect(second).toMatch(/ · 400 images · 3 unreadable$/);
    expect(rest).toEqual([
      'step 100: saved run/last.safetensors',
      'step 100: best so far, saved run/best.safetensors',
      'Failed: step 0',
      '',
    ]);
    line.step(stepEvent(1000));
    line.end({ step: 1000, reason: 'complete' });
    expect(written()).toMatch(/\nAll steps done: step 1000 of 1000 after 0 s of training\n$/);
  });

  test('quiet is quiet', () => {
    const { line, written } = observe({ quiet: true }, { isTTY: true });
    line.step(stepEvent(1));
    line.validation(validationEvent(1));
    line.notice('notice');
    line.checkpoint({ step: 1, path: 'x', kind: 'last' });
    line.end({ step: 1, reason: 'complete' });
    expect(written()).toBe('');
  });
});

describe('on a terminal', () => {
  test.each([
    { columns: 20, flops: false, bar: false },
    { columns: 60, flops: false, bar: false },
    { columns: 80, flops: false, bar: true },
    { columns: 120, flops: false, bar: true },
    { columns: 140, flops: true, bar: false },
    { columns: 200, flops: true, bar: true },
  ])('the line fits: %j', ({ columns, flops, bar }) => {
    const { line, written } = observe({}, { isTTY: true, columns });
    const listeners = process.listenerCount('SIGINT');
    line.step(stepEvent(500));
    expect(process.listenerCount('SIGINT')).toBe(listeners);
    // eslint-disable-next-line no-control-regex
    const shown = written().replace(/\u001b(?:\[[?\d]*[a-zA-Z]|[78])/g, '');
    line.end({ step: 500, reason: 'stopped' });
    expect(shown).toContain('step 500/1000');
    expect(shown).not.toContain('\n');
    expect(shown.trimEnd().length).toBeLessThan(columns);
    expect(shown.includes('TFLOP/s')).toBe(flops);
    expect(shown.includes('█')).toBe(bar);
    expect(written()).toMatch(/Stopped: step 500 of 1000 after 0 s of training\n$/);
  });
});

test('quantities', () => {
  expect([0, 44_600, 200_000, 7.5e6, 1e8, Infinity].map(formatDuration)).toEqual([
    '0 s',
    '45 s',
    '3 min 20 s',
    '2 h 5 min',
    '1 d 3 h',
    '?',
  ]);
  expect([0, 0.51239, 12.3, 1e-5, 123456, -Infinity].map(formatMeasure)).toEqual([
    '0.000',
    '0.5124',
    '12.30',
    '1.00e-5',
    '1.23e+5',
    '-Infinity',
  ]);
});
