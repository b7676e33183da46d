import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { fetchPublished } from '../cli/checkpoints.js';
import { type Inspection, inspectFile } from '../cli/inspect.js';
import { defaultCheckpoint, openParameters, writeSafetensors } from '../weights/index.js';
import { runCommand, samplePath } from './support/command.js';
import { fixtureAdapterTensors } from './support/fixture_models.js';
import { formatFixture, parseqFixture, withFolder } from './support/weights_files.js';

describe('inspect', () => {
  test('tells format, model, configuration and tensors', async () => {
    const { code, stdout } = await runCommand(['inspect', '--json']);
    expect(code).toBe(0);
    const found = JSON.parse(stdout) as Inspection;
    expect(found).toMatchObject({
      format: 'safetensors',
      family: 'clip4str',
      convention: 'clip4str',
      problems: [],
      differences: { missing: [], unexpected: [], misshaped: [] },
      configuration: { image: { imageSize: [32, 128] } },
    });
    const sizes = found.tensors.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
    expect(found.parameters).toBe(sizes.reduce((sum, size) => sum + size, 0));
    const text = (await runCommand(['inspect'])).stdout;
    for (const { name } of found.tensors) expect(text).toContain(`  ${name} `);
    expect(text).toMatch(/^parameters +4,902,783 in 150 tensors$/m);
  });

  test('says what a bare file does not tell, instead of failing', async () => {
    const found = await inspectFile(parseqFixture('parseq_tiny.pt'), undefined);
    expect(found).toMatchObject({ family: 'parseq', configuration: null, differences: null });
    expect(found.problems).toHaveLength(1);
    expect(found.problems[0]).toMatch(
      /do not tell enc_num_heads and dec_num_heads,.* --encoder-heads \.\.\. --decoder-heads \.\.\.$/,
    );
    expect(found.tensors).toHaveLength(55);
  });

  test('lists the tensors of an unknown model by their stored names', async () => {
    const found = await inspectFile(formatFixture('odd_tensors.pt'), undefined);
    expect(found).toMatchObject({ family: null, configuration: null, format: 'pytorch' });
    expect(found.problems[0]).toContain('holds no CLIP4STR, PARSeq or CLIP model');
    expect(found.tensors).toContainEqual({ name: 'half', dtype: 'f16', shape: [9], bytes: 18 });
  });
});

test('a token embedding that lacks tokens is told by inspect, and before anything is read', () =>
  withFolder(async (folder) => {
    const short = join(folder, 'short.safetensors');
    const source = await openParameters(defaultCheckpoint());
    const rows = 1000;
    const tensors = [...source.parameters].map(([name, { shape }]) => {
      const cut = name === 'clip_model.token_embedding.weight';
      const read = async (): Promise<Float32Array> => {
        const values = await source.readF32(name);
        return cut ? values.subarray(0, rows * shape[1]!) : values;
      };
      return { name, shape: cut ? shape.with(0, rows) : shape, dtype: 'f32', read } as const;
    });
    const stored = Object.entries(source.configuration).map(([name, value]) => [name, JSON.stringify(value)]);
    await writeSafetensors(short, tensors, Object.fromEntries(stored) as Record<string, string>);
    await source.close();
    const problem = "short.safetensors: its token embedding has 1000 rows; CLIP's vocabulary needs 49408.";
    expect((await inspectFile(short, undefined)).problems).toEqual([problem]);
    const read = await runCommand(['read', samplePath('hotel.png'), '--checkpoint', short]);
    expect([read.code, read.errors]).toEqual([1, [`error: ${problem}`]]);
  }));

test('inspect ends with 1 where the file holds no model that can be used', () =>
  withFolder(async (folder) => {
    const short = join(folder, 'short.safetensors');
    const source = await openParameters(defaultCheckpoint());
    const kept = [...source.parameters].filter(([name]) => name !== 'cross_decoder.norm.bias');
    await writeSafetensors(
      short,
      kept.map(([name, { shape }]) => ({ name, shape, dtype: 'f32', read: () => source.readF32(name) })),
      Object.fromEntries(
        Object.entries(source.configuration).map(([name, value]) => [name, JSON.stringify(value)]),
      ),
    );
    await source.close();
    const [whole, unknown, incomplete] = await Promise.all([
      runCommand(['inspect']),
      runCommand(['inspect', formatFixture('odd_tensors.pt')]),
      runCommand(['inspect', short]),
    ]);
    expect([whole.code, unknown.code, incomplete.code]).toEqual([0, 1, 1]);
    expect(unknown.stdout).toContain('problems:');
    expect(incomplete.stdout).toContain('missing:\n  cross_decoder.norm.bias\n');
  }));

describe('convert', () => {
  test('gives a file with the same configuration that reads the same', () =>
    withFolder(async (folder) => {
      const out = join(folder, 'out.safetensors');
      const converted = await runCommand(['convert', defaultCheckpoint(), out]);
      expect(converted.code).toBe(0);
      expect(converted.errors).toEqual([expect.stringMatching(/out\.safetensors: 150 tensors, 9\.9 MB$/)]);
      const [before, after] = await Promise.all(
        [defaultCheckpoint(), out].map((path) => inspectFile(path, undefined)),
      );
      expect(after!.configuration).toEqual(before!.configuration);
      expect(after!.stored).toMatchObject({ ...before!.stored, format: 'pt' });
      const byName = ({ tensors }: Inspection): unknown =>
        [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
      expect(byName(after!)).toEqual(byName(before!));
      const [original, result] = await Promise.all([
        runCommand(['read', samplePath('station.jpg'), '--format', 'json']),
        runCommand(['read', samplePath('station.jpg'), '--format', 'json', '--checkpoint', out]),
      ]);
      const withoutTime = ({ stdout }: { stdout: string }): string =>
        stdout.replace(/"milliseconds":[\d.]+/, '');
      expect(withoutTime(result)).toBe(withoutTime(original));
      expect(original.stdout).toContain('"text":"STATION"');
    }));

  test('takes from options what a bare file does not tell, and reads with them', () =>
    withFolder(async (folder) => {
      const out = join(folder, 'parseq.safetensors');
      const heads = [
        '--encoder-heads',
        '4',
        '--decoder-heads',
        '8',
        '--image-size',
        '32x128',
        '--refine-iters',
        '2',
      ];
      const args = [
        'convert',
        parseqFixture('parseq_tiny.pt'),
        out,
        ...heads,
        '--precision',
        'f16',
        '--quiet',
      ];
      expect(await runCommand(args)).toEqual({ code: 0, stdout: '', errors: [] });
      const found = await inspectFile(out, undefined);
      expect(found.problems).toEqual([]);
      expect(found.configuration).toMatchObject({
        image: { heads: 4, imageSize: [32, 128] },
        decoder: { heads: 8 },
        refineIterations: 2,
      });
      for (const { shape, dtype } of found.tensors) expect(dtype).toBe(shape.length >= 2 ? 'f16' : 'f32');
      const [before, after] = await Promise.all([
        openParameters(parseqFixture('parseq_tiny.pt')),
        openParameters(out),
      ]);
      for (const name of before.parameters.keys()) {
        const [exact, rounded] = [await before.readF32(name), await after.readF32(name)];
        expect(
          exact.every((value, i) => Math.abs(value - rounded[i]!) <= Math.abs(value) * 2 ** -11 + 2 ** -25),
        ).toBe(true);
      }
      await Promise.all([before.close(), after.close()]);
      const read = await runCommand([
        'read',
        samplePath('exit.png'),
        '--checkpoint',
        out,
        '--logits',
        join(folder, 'l'),
        '--attention',
        join(folder, 'p'),
      ]);
      expect([read.code, read.errors]).toEqual([0, []]);
      expect(await readdir(folder)).toEqual(['l', 'p', 'parseq.safetensors']);
      expect([...(await inspectFile(join(folder, 'l'), undefined)).tensors]).toEqual([
        { name: 'logits', dtype: 'f32', shape: [1, 26, 95], bytes: 26 * 95 * 4 },
      ]);
    }));

  test('of a ladder adapter also the blocks, and reads with it', () =>
    withFolder(async (folder) => {
      const bare = join(folder, 'bare');
      const out = join(folder, 'out.safetensors');
      await writeSafetensors(
        bare,
        [...fixtureAdapterTensors('ladder_pruning')].map(([name, { shape, data }]) => ({
          name,
          shape,
          dtype: 'f16' as const,
          read: () => data as Float32Array,
        })),
      );
      const options = ['--decoder-heads', '4', '--quiet'];
      const untold = await runCommand(['convert', bare, out, ...options]);
      expect([untold.code, untold.errors]).toEqual([
        1,
        [expect.stringContaining('bare: its shapes do not tell block_ids')],
      ]);
      const malformed = await runCommand(['convert', bare, out, '--block-ids', '0,,1', ...options]);
      expect([malformed.code, malformed.errors]).toEqual([
        1,
        [expect.stringContaining('Expected block numbers with commas, as 0,4,8,11.')],
      ]);
      expect(await runCommand(['convert', bare, out, '--block-ids', '0,1', ...options])).toEqual({
        code: 0,
        stdout: '',
        errors: [],
      });
      expect(await inspectFile(out, undefined)).toMatchObject({
        family: 'str_adapter',
        problems: [],
        differences: { missing: [], unexpected: [], misshaped: [] },
        configuration: { adapter: { type: 'ladder_pruning', blocks: [0, 1] } },
        stored: { adapter_type: 'ladder_pruning', block_ids: [0, 1] },
      });
      const pictures = join(folder, 'pictures');
      const read = await runCommand([
        'read',
        samplePath('exit.png'),
        '--checkpoint',
        out,
        '--format',
        'json',
        '--attention',
        pictures,
      ]);
      expect([read.code, read.errors]).toEqual([0, []]);
      expect(read.stdout).toContain('"visualText":null');
      expect(await readdir(pictures)).toHaveLength(1);
    }));

  test('refuses half precision for values that it cannot hold', () =>
    withFolder(async (folder) => {
      const source = await openParameters(parseqFixture('parseq_tiny.pt'));
      const large = join(folder, 'large');
      await writeSafetensors(
        large,
        [...source.parameters].map(([name, { shape }]) => ({
          name,
          shape,
          dtype: 'f32' as const,
          read: async () =>
            (await source.readF32(name)).map((value) => (name === 'head.weight' ? 70_000 : value)),
        })),
      );
      await source.close();
      const heads = ['--encoder-heads', '4', '--decoder-heads', '8', '--image-size', '32x128'];
      const { code, errors } = await runCommand([
        'convert',
        large,
        join(folder, 'out.safetensors'),
        ...heads,
        '--precision',
        'f16',
      ]);
      expect(code).toBe(1);
      expect(errors).toEqual([
        'error: large: head.weight holds 70000, which half precision cannot (65504 at most). Use --precision f32.',
      ]);
      expect(await readdir(folder)).toEqual(['large']);
    }));

  test('writes nothing when it fails, and never over its input', () =>
    withFolder(async (folder) => {
      const input = join(folder, 'in.safetensors');
      const bytes = await readFile(defaultCheckpoint());
      await writeFile(input, bytes);
      await writeFile(join(folder, 'cut.safetensors'), bytes.subarray(0, 1_000_000));
      await mkdir(join(folder, 'sub'));
      const out = join(folder, 'sub', 'out.safetensors');
      const results = await Promise.all([
        runCommand(['convert', input, join(folder, 'sub', '..', 'in.safetensors')]),
        runCommand(['convert', join(folder, 'cut.safetensors'), out]),
        runCommand(['convert', input, join(folder, 'gone', 'out.safetensors')]),
        runCommand(['convert', formatFixture('odd_tensors.pt'), out]),
        runCommand(['convert', input, out, '--charset', '36']),
        runCommand(['convert', input, join(folder, 'sub', 'out.pt')]),
        runCommand(['convert', input, out, '--encoder-heads', '7']),
        runCommand(['convert', input, out, '--encoder-heads', '7', '--block-ids', '0,1']),
        runCommand(['convert', formatFixture('OpenCLIP-tiny.bin'), out, '--charset', '36']),
      ]);
      expect(results.map(({ code, errors }) => [code, errors.length])).toEqual(
        Array.from({ length: 9 }, () => [1, 1]),
      );
      const messages = results.map(({ errors }) => errors[0]);
      expect(messages[0]).toContain('is the input');
      expect(messages[1]).toContain('truncated');
      expect(messages[2]).toContain('does not exist');
      expect(messages[3]).toContain('holds no CLIP4STR, PARSeq or CLIP model');
      expect(messages[4]).toContain('the charset has 36 characters');
      expect(messages[5]).toContain('out.pt does not end in .safetensors, the format that is written.');
      expect(messages[6]).toContain('is a clip4str model, of which --encoder-heads settles nothing');
      expect(messages[7]).toContain('of which --encoder-heads, --block-ids settle nothing; leave them out.');
      expect(messages[8]).toContain('is a clip model, of which --charset settles nothing');
      expect(await readdir(join(folder, 'sub'))).toEqual([]);
      expect((await readFile(input)).equals(bytes)).toBe(true);
    }));

  test('nor over a file of a folder or an index that is its input', () =>
    withFolder(async (folder) => {
      const model = join(folder, 'm', 'model.safetensors');
      await mkdir(join(folder, 'm'));
      const bytes = await readFile(defaultCheckpoint());
      await writeFile(model, bytes);
      const source = await openParameters(model);
      const index = join(folder, 'i.safetensors.index.json');
      const weightMap = Object.fromEntries(
        [...source.parameters.keys()].map((name) => [name, 'shard.safetensors']),
      );
      await source.close();
      await writeFile(index, JSON.stringify({ weight_map: weightMap }));
      const shard = join(folder, 'shard.safetensors');
      await writeFile(shard, bytes);
      const results = await Promise.all([
        runCommand(['convert', join(folder, 'm'), model, '--precision', 'f16']),
        runCommand(['convert', index, shard]),
        runCommand(['read', samplePath('hotel.png'), '--checkpoint', join(folder, 'm'), '--logits', model]),
        runCommand(['read', samplePath('hotel.png'), '--clip-refine', index, '--logits', shard]),
        runCommand(['read', '--pixels', join(folder, 'm'), '--logits', model]),
      ]);
      for (const { code, errors } of results) {
        expect([code, errors]).toEqual([
          1,
          [expect.stringMatching(/safetensors is the input .*give another path\.$/)],
        ]);
      }
      expect((await readFile(model)).equals(bytes)).toBe(true);
      expect((await readFile(shard)).equals(bytes)).toBe(true);
    }));
});

describe('download', () => {
  const content = Buffer.alloc(300_000, 'weights');
  const published = {
    name: 'small',
    description: '',
    url: 'http://published.invalid/small.bin',
    fileName: 'small.bin',
    sha256: createHash('sha256').update(content).digest('hex').slice(0, 10),
  };

  async function withServer<T>(use: (fetchHere: typeof fetch, ranges: string[]) => Promise<T>): Promise<T> {
    const ranges: string[] = [];
    const server: Server = createServer((request, response) => {
      const { range = '' } = request.headers;
      ranges.push(range);
      const start = Number(/\d+/.exec(range)?.[0] ?? 0);
      response.writeHead(range ? 206 : 200, {
        'content-length': content.length - start,
        ...(range ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {}),
      });
      // The first connection is cut half way.
      if (ranges.length === 1) response.write(content.subarray(0, 100_000), () => response.destroy());
      else response.end(content.subarray(start));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      return await use((_address, init) => fetch(`http://127.0.0.1:${port}/`, init), ranges);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  test('goes on after a cut, keeps the file, and does not ask again', () =>
    withFolder((cacheFolder) =>
      withServer(async (fetchHere, ranges) => {
        const options = { cacheFolder, quiet: true, fetch: fetchHere };
        const path = await fetchPublished(published, options);
        expect((await readFile(path)).equals(content)).toBe(true);
        expect(ranges).toHaveLength(2);
        expect(ranges[1]).toMatch(/^bytes=\d+-$/);
        expect(await fetchPublished(published, options)).toBe(path);
        expect(ranges).toHaveLength(2);
        expect(await readdir(cacheFolder)).toEqual(['small.bin']);
      }),
    ));

  test('lists the models, finds those in the cache, and refuses unknown names', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'parseq-bb5792a6.pt'), 'kept');
      const file = join(folder, 'parseq-bb5792a6.pt');
      const [list, cached, unknown, read, inFile, below] = await Promise.all([
        runCommand(['download', '--cache', folder]),
        runCommand(['download', 'parseq', '--cache', folder]),
        runCommand(['download', 'parsec']),
        runCommand(['read', samplePath('exit.png'), '--checkpoint', 'parseq'], {
          env: { CLIP4STR_CACHE: folder },
        }),
        runCommand(['download', 'parseq', '--cache', file, '--quiet']),
        runCommand(['download', 'parseq', '--cache', join(file, 'deeper'), '--quiet']),
      ]);
      for (const { code, errors } of [inFile, below]) {
        expect([code, errors]).toEqual([
          1,
          [expect.stringMatching(/cannot be kept in .*, is a file\. Give another folder for the cache\.$/)],
        ]);
      }
      expect(list.stdout).toMatch(/^clip4str-base +CLIP4STR-B\/16/m);
      expect(list.stdout).toMatch(/^parseq +PARSeq-S +in the cache, 4 B$/m);
      expect(cached).toEqual({ code: 0, stdout: `${join(folder, 'parseq-bb5792a6.pt')}\n`, errors: [] });
      expect([unknown.code, unknown.errors]).toEqual([
        1,
        [expect.stringContaining('"parsec" is no published checkpoint')],
      ]);
      expect([read.code, read.errors]).toEqual([
        1,
        [expect.stringContaining('parseq-bb5792a6.pt: is no checkpoint')],
      ]);
    }));
});
