import { createHash } from 'node:crypto';
import { appendFile, copyFile, mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type WordDataSet, createDataSet, keepLabel, openDataSets } from '../train/data/index.js';
import { WordSetWriter } from '../train/data/word_set_writer.js';
import { runChild } from './support/child_script.js';
import { samplePath } from './support/command.js';
import { fixturePath } from './support/fixtures.js';
import { withFolder } from './support/weights_files.js';

const INPUTS = 400;
const writerModule = new URL('../train/data/word_set_writer.js', import.meta.url).href;

/** Adds every input but each tenth, from where an earlier run ended; images of all sizes, the larger ones 90 kB. */
async function addInputs(
  writer: WordSetWriter,
  inputs: number,
  before: (input: number) => void = () => undefined,
): Promise<void> {
  for (let input = writer.resumedAt; input < inputs; input++) {
    before(input);
    if (input % 10 === 9) writer.skip();
    else
      await writer.add(
        new Uint8Array((input * 7919) % 90_000).fill(input),
        `word ${input} ${'ä'.repeat(input % 30)}`,
      );
  }
}

/** Runs the writing in a process of its own that is killed before it adds the input `last`. */
async function killedAt(folder: string, last: number): Promise<void> {
  const { signal } = await runChild(`
    import { WordSetWriter } from ${JSON.stringify(writerModule)};
    ${addInputs.toString()}
    const writer = await WordSetWriter.open(${JSON.stringify(folder)}, 'inputs');
    await addInputs(writer, ${INPUTS}, (input) => {
      if (input === ${last}) process.kill(process.pid, 'SIGKILL');
    });
  `);
  expect(signal).toBe('SIGKILL');
}

async function digestOf(folder: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(join(folder, 'data.mdb')))
    .digest('hex');
}

async function resume(folder: string): Promise<{ digest: string; resumedAt: number }> {
  const writer = await WordSetWriter.open(folder, 'inputs');
  await addInputs(writer, INPUTS);
  await writer.finish();
  expect(await readdir(folder)).toEqual(['data.mdb']);
  return { digest: await digestOf(folder), resumedAt: writer.resumedAt };
}

describe('writing a data set', () => {
  test('gives what was added', () =>
    withFolder(async (folder) => {
      const writer = await WordSetWriter.open(join(folder, 'new', 'set'), 'inputs');
      await addInputs(writer, INPUTS);
      expect(writer.records).toBe(360);
      const bytes = await writer.finish();
      const set = await openDataSets([join(folder, 'new')], { filter: keepLabel });
      expect(set.length).toBe(360);
      expect((await readFile(join(folder, 'new/set/data.mdb'))).length).toBe(bytes);
      let record = 0;
      for (let input = 0; input < INPUTS; input++) {
        if (input % 10 === 9) continue;
        const { label, image } = await set.sample(record++);
        expect(label).toBe(`word ${input} ${'ä'.repeat(input % 30)}`);
        expect(image.length).toBe((input * 7919) % 90_000);
        expect(image.every((byte) => byte === input % 256)).toBe(true);
      }
      await set.close();
    }));

  test('continues after SIGKILL at any point, to the same bytes', () =>
    withFolder(async (folder) => {
      const { digest, resumedAt } = await resume(join(folder, 'whole'));
      expect(resumedAt).toBe(0);
      const killed = join(folder, 'killed');
      // The first two are killed before anything was made safe; the others one after the other, each later.
      for (const last of [0, 50, 230, 240, 320, 399]) await killedAt(killed, last);
      const resumed = await resume(killed);
      expect(resumed.resumedAt).toBeGreaterThan(200);
      expect(resumed.digest).toBe(digest);
    }));

  test('continues after a kill in its last moments', () =>
    withFolder(async (folder) => {
      const { digest } = await resume(join(folder, 'whole'));
      const killed = join(folder, 'killed');
      await killedAt(killed, 399);
      const journal = await readFile(join(killed, 'data.mdb.journal'));
      for (const hasJournal of [true, false]) {
        // The data is complete, but does not bear its name yet.
        await copyFile(join(folder, 'whole/data.mdb'), join(killed, 'data.mdb.part'));
        if (hasJournal) await writeFile(join(killed, 'data.mdb.journal'), journal);
        const resumed = await resume(killed);
        expect(resumed.digest).toBe(digest);
        expect(resumed.resumedAt > 0).toBe(hasJournal);
        await rm(join(killed, 'data.mdb'));
      }
    }));

  test('continues from what is sound of what is left', () =>
    withFolder(async (folder) => {
      const { digest } = await resume(join(folder, 'whole'));
      const damages: ((path: (name: string) => string) => Promise<void>)[] = [
        (path) => appendFile(path('data.mdb.journal'), '{"page":99999,"first":'),
        (path) =>
          appendFile(path('data.mdb.journal'), '{"page":99999,"first":1,"labels":["x"],"inputs":1}\n'),
        (path) => appendFile(path('data.mdb.journal'), 'null\n'),
        (path) => truncate(path('data.mdb.journal'), 3000),
        (path) => truncate(path('data.mdb.part'), 5_000_000),
        (path) => truncate(path('data.mdb.part'), 0),
        (path) => rm(path('data.mdb.part')),
        (path) => writeFile(path('data.mdb.journal'), 'no journal'),
      ];
      const killed = join(folder, 'killed');
      await killedAt(killed, 399);
      for (const [index, damage] of damages.entries()) {
        const copy = join(folder, String(index));
        await mkdir(copy);
        for (const name of await readdir(killed)) await copyFile(join(killed, name), join(copy, name));
        await damage((name) => join(copy, name));
        expect((await resume(copy)).digest).toBe(digest);
      }
    }));

  test('pauses without loss of finished leaves', () =>
    withFolder(async (folder) => {
      const { digest } = await resume(join(folder, 'whole'));
      const paused = join(folder, 'paused');
      const writer = await WordSetWriter.open(paused, 'inputs');
      await addInputs(writer, 200);
      await writer.pause();
      const resumed = await resume(paused);
      expect(resumed.resumedAt).toBeGreaterThan(100);
      expect(resumed.digest).toBe(digest);
    }));

  test('never over another data set, nor for other inputs', () =>
    withFolder(async (folder) => {
      const writer = await WordSetWriter.open(folder, 'inputs');
      await addInputs(writer, 3);
      await writer.pause();
      await expect(WordSetWriter.open(folder, 'others')).rejects.toThrow(
        `${join(folder, 'data.mdb.journal')}: tells of an unfinished data set made from other inputs.`,
      );
      await resume(folder);
      await expect(WordSetWriter.open(folder, 'inputs')).rejects.toThrow(
        `${folder}: holds a data set already; name another folder`,
      );
      await writeFile(join(folder, 'file'), '');
      await expect(WordSetWriter.open(join(folder, 'file'), 'inputs')).rejects.toThrow(/file: /);
      expect((await readdir(folder)).sort()).toEqual(['data.mdb', 'file']);
    }));

  test('two runs at once do not write into one another', () =>
    withFolder(async (folder) => {
      const first = await WordSetWriter.open(folder, 'inputs');
      await addInputs(first, 200);
      const second = await WordSetWriter.open(folder, 'inputs');
      await addInputs(second, 250);
      await expect(first.pause()).rejects.toThrow('another run writes to it as well; end one of them');
      await second.pause();
    }));
});

describe('making a data set from others', () => {
  async function made(
    folder: string,
    roots: readonly string[],
    decode: boolean,
  ): Promise<{ created: Awaited<ReturnType<typeof createDataSet>>; faults: string[]; inputs: WordDataSet }> {
    const inputs = await openDataSets(roots, { filter: keepLabel });
    const faults: string[] = [];
    const created = await createDataSet(folder, inputs, {
      decode,
      onFault: (source, reason) => faults.push(`${source}: ${reason}`),
    });
    return { created, faults, inputs };
  }

  test('copies images byte for byte, from LMDB and from files', () =>
    withFolder(async (folder) => {
      const roots = [fixturePath('lmdb'), samplePath('labels.tsv')];
      const { created, faults, inputs } = await made(join(folder, 'set'), roots, true);
      expect(faults).toEqual([]);
      expect(created).toMatchObject({ images: 81, leftOut: 0, resumedAt: 0 });
      const copy = await openDataSets([folder], { filter: keepLabel });
      expect(copy.length).toBe(inputs.length);
      for (let index = 0; index < copy.length; index++) {
        const [was, is] = [await inputs.sample(index), await copy.sample(index)];
        expect(is.label).toBe(was.label);
        expect(Buffer.from(is.image).equals(was.image)).toBe(true);
      }
      await copy.close();
      await inputs.close();
    }));

  test('leaves out what is no sound image, and all of it if nothing is', () =>
    withFolder(async (folder) => {
      const jpeg = await readFile(samplePath('parking.jpg'));
      await writeFile(join(folder, 'good.jpg'), jpeg);
      await writeFile(join(folder, 'cut.jpg'), jpeg.subarray(0, 700));
      await writeFile(join(folder, 'text.jpg'), 'text');
      await writeFile(join(folder, 'empty.jpg'), '');
      await mkdir(join(folder, 'folder.jpg'));
      const list = ['cut', 'good', 'text', 'empty', 'folder', 'good'].map((name) => `${name}.jpg\t${name}`);
      await writeFile(join(folder, 'gt.txt'), list.join('\n'));
      const out = join(folder, 'out');
      const { created, faults } = await made(out, [join(folder, 'gt.txt')], true);
      expect(created).toMatchObject({ images: 2, leftOut: 4 });
      expect(faults.map((fault) => /(\w+)\.jpg: .*/.exec(fault)![0])).toEqual([
        expect.stringMatching(/^cut\.jpg: the image cannot be decoded/),
        'text.jpg: not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.',
        'empty.jpg: the image is empty (0 bytes).',
        'folder.jpg: is not a regular file',
      ]);
      await writeFile(join(folder, 'gt.txt'), 'text.jpg\tx\n');
      const none = await made(join(folder, 'none'), [join(folder, 'gt.txt')], true);
      expect(none.created).toEqual({ images: 0, leftOut: 1, bytes: 0, resumedAt: 0 });
      expect(await readdir(join(folder, 'none'))).toEqual([]);
    }));

  test('ends early when it is told to, and goes on later', () =>
    withFolder(async (folder) => {
      const roots = [fixturePath('lmdb/words')];
      await made(join(folder, 'whole'), roots, false);
      const inputs = await openDataSets(roots, { filter: keepLabel });
      const controller = new AbortController();
      const ended = createDataSet(join(folder, 'ended'), inputs, {
        decode: false,
        signal: controller.signal,
        onProgress: (done) => {
          if (done === 40) controller.abort(new Error('enough'));
        },
      });
      await expect(ended).rejects.toThrow('enough');
      expect((await readdir(join(folder, 'ended'))).sort()).toEqual(['data.mdb.journal', 'data.mdb.part']);
      const { created } = await made(join(folder, 'ended'), roots, false);
      expect(created.resumedAt).toBeGreaterThan(0);
      expect(await digestOf(join(folder, 'ended'))).toBe(await digestOf(join(folder, 'whole')));
      await inputs.close();
    }));
});
