/** That one process at a time has the folder of a run, however the one before ended. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FolderLock, lockFile } from '../train/folder_lock.js';
import { ownIdentity } from '../train/process_identity.js';
import { RunFolder } from '../train/run_folder.js';

const onLinux = process.platform === 'linux' ? test : test.skip;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'clip4str-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function leaveLock(changed: object): Promise<void> {
  const holder = { ...(await ownIdentity()), since: '2020-01-01T00:00:00.000Z', token: 'left', ...changed };
  writeFileSync(join(folder, lockFile), JSON.stringify(holder));
}

test('a folder is held until it is given free, and the message names the holder', async () => {
  const lock = await FolderLock.take(folder);
  await expect(FolderLock.take(folder)).rejects.toThrow(
    new RegExp(`: in use by process ${process.pid} \\(this one\\) on .* since 20.*another folder`),
  );
  await lock.check();
  await lock.release();
  expect(readdirSync(folder)).toEqual([]);
  await (await FolderLock.take(folder)).release();
});

test('a lock of a process that is gone does not bind', async () => {
  await leaveLock({ pid: spawnSync(process.execPath, ['-e', '']).pid });
  await (await FolderLock.take(folder)).release();
});

onLinux('nor does one of an earlier process with the same id', async () => {
  await leaveLock({ born: '1' });
  await (await FolderLock.take(folder)).release();
});

test.each([
  ['on another machine', { host: 'elsewhere' }],
  ['of another container', { place: 'boot pid:[1]' }],
])('a holder %s is dead when it is silent, alive when it is not', async (_, elsewhere) => {
  await leaveLock(elsewhere);
  const waits: string[] = [];
  const options = { patienceMs: 1500, onWait: (holder: string) => waits.push(holder) };
  const path = join(folder, lockFile);
  const beat = setInterval(() => utimesSync(path, new Date(), new Date()), 100);
  await expect(FolderLock.take(folder, options)).rejects.toThrow(/in use by process \d+/);
  clearInterval(beat);
  expect(waits).toEqual([expect.stringMatching(/^process \d+/)]);
  await (await FolderLock.take(folder, { patienceMs: 200 })).release();
});

test('a lock that was not written whole does not bind', async () => {
  writeFileSync(join(folder, lockFile), '{"pid":');
  await (await FolderLock.take(folder, { patienceMs: 200 })).release();
});

test('of many that find a dead lock one gets the folder', async () => {
  await leaveLock({ pid: spawnSync(process.execPath, ['-e', '']).pid });
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => FolderLock.take(folder)));
  const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const sound = await Promise.allSettled(locks.map((lock) => lock.check()));
  expect(sound.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const lock of locks) await lock.release();
});

test('a holder whose lock was taken learns of it', async () => {
  const lock = await FolderLock.take(folder);
  await leaveLock({ pid: 12345 });
  await expect(lock.check()).rejects.toThrow(/in use by process 12345/);
  await lock.release();
  expect(existsSync(join(folder, lockFile))).toBe(true);
});

test('what a killed run left half written goes, but not from under a live one', async () => {
  const left = [
    'step-00000002.safetensors.4711.tmp',
    'step-00000002.state.safetensors.00ff.tmp',
    'best.safetensors.1.tmp',
    'averaged.safetensors.1.tmp',
    'config.yaml.0123456789abcdef.tmp',
    'metrics.jsonl.17.tmp',
    'report.html.17.tmp',
  ];
  const fill = (): void => left.forEach((name) => writeFileSync(join(folder, name), ''));
  fill();
  writeFileSync(join(folder, 'mine.tmp'), '');
  const first = await RunFolder.open(folder);
  expect(readdirSync(folder).sort()).toEqual(['mine.tmp', lockFile]);
  fill();
  await expect(RunFolder.open(folder)).rejects.toThrow(/in use/);
  expect(readdirSync(folder)).toEqual(expect.arrayContaining(left));
  await first.close();
});

test('a folder that was made for nothing goes', async () => {
  const inner = join(folder, 'a', 'b');
  await (await RunFolder.open(inner)).close();
  expect(existsSync(inner)).toBe(false);
  mkdirSync(inner);
  await (await RunFolder.open(inner)).close();
  expect(existsSync(inner)).toBe(true);
  const held = await RunFolder.open(inner);
  expect(JSON.parse(readFileSync(join(inner, lockFile), 'utf8'))).toMatchObject({ pid: process.pid });
  await held.close();
});
