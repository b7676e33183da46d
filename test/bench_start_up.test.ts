/** Timing the start of a command: what it reached when, and how it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type StartTimes, startUpOf, timeStart } from '../bench/model/start_up.js';
import { measureStartUp } from '../cli/bench_start_up.js';
import { main, runCommand, samplePath } from './support/command.js';
import { fixturePath } from './support/fixtures.js';

const clip = fixturePath('formats/clip_wrapped_model_key.pt');
const never = new AbortController().signal;
let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'clip4str-starts-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function script(name: string, text: string): string {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(path, text);
  return path;
}

async function appears(path: string): Promise<void> {
  while (!existsSync(path) || readFileSync(path, 'utf8') === '') await sleep(10);
}

describe('a start', () => {
  test('goes to the first text, by the marks on the way', async () => {
    const path = script(
      'marks',
      `import { setTimeout } from 'node:timers/promises';
      performance.mark('begun');
      await setTimeout(60);
      performance.mark('rested');
      process.stdout.write(process.argv[2]);
      await setTimeout(3000);`,
    );
    const begin = performance.now();
    const { firstTextMs, stages } = await timeStart(path, ['text'], never);
    const ms = performance.now() - begin;
    expect(Object.keys(stages)).toEqual(['Node started', 'begun', 'rested', 'first text']);
    // What comes after the first text does not count.
    expect(firstTextMs).toBeLessThan(ms - 2900);
    expect(stages['Node started']).toBeGreaterThan(0);
    expect(stages['rested']).toBeGreaterThan(55);
    const sum = Object.values(stages).reduce((total, stage) => total + stage, 0);
    expect(sum).toBeCloseTo(firstTextMs, 6);
  });

  test.each([
    [
      'fails',
      'console.log(1); console.error("no\\nmemory"); process.exit(3)',
      'read ended with exit code 3: memory',
    ],
    [
      'fails as ours do',
      'console.error("error: no memory"); process.exit(1)',
      'read ended with exit code 1: no memory',
    ],
    ['is killed', 'process.kill(process.pid, "SIGKILL")', 'read ended by SIGKILL'],
    ['says nothing', '', 'read printed nothing'],
  ])('tells of a command that %s', async (name, text, message) => {
    await expect(timeStart(script(name, text), ['read'], never)).rejects.toThrow(new Error(message));
  });

  test('ends with whoever waits for it', async () => {
    const file = join(folder, 'pid');
    const path = script(
      'waits',
      `import { writeFileSync } from 'node:fs';
      process.on('SIGTERM', () => {});
      writeFileSync(${JSON.stringify(file)}, String(process.pid));
      setInterval(() => {}, 1000);`,
    );
    const controller = new AbortController();
    const timed = timeStart(path, ['read'], controller.signal);
    await appears(file);
    controller.abort(new Error('interrupted'));
    await expect(timed).rejects.toThrow('interrupted');
    expect(() => process.kill(Number(readFileSync(file, 'utf8')), 0)).toThrow('ESRCH');
  });

  test('of several the first stands alone', () => {
    const times = [9, 4, 2, 3].map((firstTextMs): StartTimes => ({ firstTextMs, stages: {} }));
    expect(startUpOf(times)).toEqual({
      first: times[0],
      later: times[3],
      fastestMs: 2,
      slowestMs: 4,
      rounds: 3,
    });
  });
});

describe('of read', () => {
  const image = readFileSync(samplePath('hotel.png'));
  const options = { device: 'software', quiet: true } as const;

  test('tells why it fails', async () => {
    expect(await measureStartUp(image, join(folder, 'none.safetensors'), options, never)).toEqual({
      unable: expect.stringMatching(/^read ended with exit code 1: \S*none\.safetensors: no such file/),
    });
  });

  test.each([
    ['an adapter', ['--device', 'no such adapter'], /^error: no adapter matches "no such adapter"/],
    ['PyTorch', ['--torch', '/no/such/python'], /^error: --torch: .*no such program/],
    ['a model with a twin', ['--checkpoint', clip, '--torch', '/no/such/python'], /is no CLIP4STR model/],
  ])('is not timed without %s that was asked for', async (_, args, message) => {
    // Where a start would be timed, its image could not be written.
    const env = { TMPDIR: join(folder, 'none') };
    const { code, stdout, errors } = await runCommand(
      ['bench', '--model', '--device', 'software', '--quiet', ...args],
      { env },
    );
    expect([code, stdout, errors]).toEqual([1, '', [expect.stringMatching(message)]]);
  });

  test('leaves nothing behind where it is interrupted', async () => {
    const begun = (): string[] => readdirSync(folder).filter((name) => name.startsWith('clip4str-start-'));
    const child = spawn(process.execPath, [main, 'bench', '--model', '--device', 'software'], {
      env: { ...process.env, TMPDIR: folder },
      stdio: 'ignore',
    });
    const ended = once(child, 'close');
    while (begun().length === 0 && child.exitCode === null) await sleep(10);
    child.kill('SIGTERM');
    expect(await ended).toEqual([143, null]);
    expect(begun()).toEqual([]);
  });
});
