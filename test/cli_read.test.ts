import { rmSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { Row } from '../cli/formats.js';
import { decodeImage } from '../model/decode_image.js';
import { preprocessImage } from '../model/index.js';
import { openCheckpoint, writeSafetensors } from '../weights/index.js';
import { type CommandResult, runCommand, samplePath } from './support/command.js';
import { fastClipParameters } from './support/fixture_models.js';
import { safetensorsBytes, withFolder } from './support/weights_files.js';

const words = { 'exit.png': 'EXIT', 'hotel.png': 'HOTEL', 'number.png': '2047' } as const;
const samples = Object.keys(words).map(samplePath);
const texts = Object.values(words);

const rowsOf = (jsonLines: string): Row[] =>
  jsonLines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

async function tensorsOf(path: string): Promise<Record<'logits' | 'visual_logits', Float32Array>> {
  const file = await openCheckpoint(path);
  try {
    for (const { shape, dtype } of file.tensors.values())
      expect([dtype, ...shape]).toEqual(['f32', 3, 26, 95]);
    return { logits: await file.readF32('logits'), visual_logits: await file.readF32('visual_logits') };
  } finally {
    await file.close();
  }
}

async function expectLogits(path: string, images: number): Promise<void> {
  const file = await openCheckpoint(path);
  expect(file.tensors.get('logits')?.shape[0]).toBe(images);
  await file.close();
}

describe('read', () => {
  test('reads what it can, reports the rest, and ends with 2', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'empty.png'), '');
      await writeFile(join(folder, 'text.png'), 'no image');
      await writeFile(join(folder, 'cut.jpg'), (await readFile(samplePath('bakery.jpg'))).subarray(0, 900));
      await symlink('nowhere', join(folder, 'dangling.png'));
      await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } }).toFile(
        join(folder, 'dot.png'),
      );
      await sharp({ create: { width: 20000, height: 10, channels: 3, background: 'white' } }).toFile(
        join(folder, 'wide.png'),
      );
      await mkdir(join(folder, 'words'));
      await writeFile(join(folder, 'words', '10 [a].png'), await readFile(samplePath('number.png')));
      await writeFile(join(folder, 'words', '9.jpeg'), await readFile(samplePath('exit.png')));
      const args = [
        'empty.png',
        'words',
        '*.jpg',
        '-',
        'text.png',
        'dangling.png',
        'gone.png',
        'dot.png',
        'wide.png',
      ];
      const { code, stdout, errors } = await runCommand(['read', ...args], {
        cwd: folder,
        input: await readFile(samplePath('hotel.png')),
      });
      const lines = stdout.split('\n');
      expect(lines.slice(0, 3)).toEqual(['words/9.jpeg: EXIT', 'words/10 [a].png: 2047', '-: HOTEL']);
      expect(lines.slice(3).map((line) => line.split(':')[0])).toEqual(['dot.png', 'wide.png', '']);
      expect(errors).toHaveLength(5);
      expect(errors).toEqual(
        expect.arrayContaining([
          'dangling.png: no such file or folder',
          'gone.png: no such file or folder',
          'empty.png: the image is empty (0 bytes).',
          'text.png: not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.',
          expect.stringMatching(/^cut\.jpg: the image cannot be decoded: /),
        ]),
      );
      expect(code).toBe(2);
    }));

  test('logits, pictures and rows of images and of their pixels are the same', () =>
    withFolder(async (folder) => {
      const at = (name: string): string => join(folder, name);
      const [fromImages, fromPixels] = await Promise.all([
        runCommand(['read', ...samples, '--format', 'jsonl', '--logits', at('a'), '--attention', at('p/q')]),
        (async (): Promise<CommandResult> => {
          const images = await Promise.all(
            samples.map(async (path) =>
              preprocessImage(await decodeImage(await readFile(path)), [32, 128], 'half'),
            ),
          );
          await writeSafetensors(at('pixels'), [
            {
              name: 'images',
              dtype: 'f32',
              shape: [3, 3, 32, 128],
              read: () => Float32Array.from(images.flatMap((image) => Array.from(image))),
            },
          ]);
          const options = ['--batch-size', '2', '--format', 'jsonl', '--logits', at('b')];
          return runCommand(['read', '--pixels', at('pixels'), ...options]);
        })(),
      ]);
      expect([fromImages.code, fromPixels.code]).toEqual([0, 0]);
      const [a, b] = [rowsOf(fromImages.stdout), rowsOf(fromPixels.stdout)];
      expect(a.map(({ file }) => file)).toEqual(samples);
      expect(b.map(({ file }) => file)).toEqual(['images[0]', 'images[1]', 'images[2]']);
      for (const [index, row] of a.entries()) {
        expect([row.text, row.visualText, b[index]!.text]).toEqual([
          texts[index],
          texts[index],
          texts[index],
        ]);
        expect(row.characters.map(({ char }) => char).join('')).toBe(row.text);
        const product = row.characters.reduce(
          (all, { probability }) => all * probability,
          row.endProbability!,
        );
        expect(row.confidence).toBeCloseTo(product, 9);
        expect(row.milliseconds).toBeGreaterThan(0);
      }
      const [logitsA, logitsB] = [await tensorsOf(at('a')), await tensorsOf(at('b'))];
      for (const name of ['logits', 'visual_logits'] as const) {
        const difference = logitsA[name].map((value, i) => Math.abs(value - logitsB[name][i]!));
        expect(Math.max(...difference)).toBeLessThan(1e-4);
      }
      const file = await openCheckpoint(at('b'));
      expect(file.configuration).toEqual({ files: ['images[0]', 'images[1]', 'images[2]'] });
      await file.close();
      expect((await readdir(at('p/q'))).sort()).toEqual(['exit.png', 'hotel.png', 'number.png']);
      expect((await readdir(folder)).sort()).toEqual(['a', 'b', 'p', 'pixels']);
    }));

  test('with the original stopping and no refinement, positions that were not computed are NaN', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'logits');
      const args = ['--original-stopping', '--refine-iters', '0', '--batch-size', '1', '--charset', '36'];
      const { code, stdout } = await runCommand([
        'read',
        ...samples,
        ...args,
        '--logits',
        path,
        '--format',
        'csv',
      ]);
      expect(code).toBe(0);
      expect(stdout.split('\r\n').map((line) => line.split(',')[1])).toEqual([
        'text',
        'exit',
        'hotel',
        '2047',
        undefined,
      ]);
      const { logits } = await tensorsOf(path);
      const computed = texts.map((_, image) => {
        const rows = Array.from({ length: 26 }, (_, position) =>
          logits.subarray((image * 26 + position) * 95, (image * 26 + position + 1) * 95),
        );
        const first = rows.findIndex((row) => row.some(Number.isNaN));
        expect(rows.slice(first).every((row) => row.every(Number.isNaN))).toBe(true);
        return first;
      });
      expect(computed).toEqual(texts.map((text) => text.length + 1));
    }));

  test('of pixels, one image that overflows is reported by its name whatever the batch', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'pixels');
      const word = preprocessImage(await decodeImage(await readFile(samples[0]!)), [32, 128], 'half');
      await writeSafetensors(path, [
        {
          name: 'images',
          dtype: 'f32',
          shape: [3, 3, 32, 128],
          read: () => Float32Array.from([...word, ...word.map((value) => value * 1e38), ...word]),
        },
      ]);
      const results = await Promise.all(
        ['1', '2', '16'].map((size) => runCommand(['read', '--pixels', path, '--batch-size', size])),
      );
      const expected = {
        code: 2,
        stdout: 'images[0]: EXIT\nimages[2]: EXIT\n',
        errors: [
          'images[1]: the logit of position 0, class 0 is NaN, by clip4str_tiny.safetensors. ' +
            "The image's values reach 1e+38; normalised ones lie within about 3.",
        ],
      };
      expect(results).toEqual([expected, expected, expected]);
    }));

  test('pixels that are integers are refused: they are not normalised', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'bytes.safetensors');
      const size = 3 * 32 * 128;
      const header = { images: { dtype: 'U8', shape: [1, 3, 32, 128], data_offsets: [0, size] } };
      await writeFile(path, safetensorsBytes(header, size));
      expect(await runCommand(['read', '--pixels', path])).toEqual({
        code: 1,
        stdout: '',
        errors: [
          'error: bytes.safetensors: its tensor images is u8, which holds no normalised values; --pixels expects ' +
            'f32, f16, bf16. Give pixels of 0 to 255 as image files.',
        ],
      });
    }));

  test('the name of a picture has no control characters', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'two\nlines.png');
      await writeFile(path, await readFile(samples[0]!));
      const { code } = await runCommand([
        'read',
        path,
        '--attention',
        join(folder, 'p'),
        '--no-ar',
        '--quiet',
      ]);
      expect(code).toBe(0);
      expect(await readdir(join(folder, 'p'))).toEqual(['two_lines.png']);
    }));

  test('two images of one name get two pictures', () =>
    withFolder(async (folder) => {
      const path = samplePath('exit.png');
      const { code } = await runCommand(['read', path, path, '--attention', folder, '--no-ar', '--quiet']);
      expect(code).toBe(0);
      expect((await readdir(folder)).sort()).toEqual(['exit-2.png', 'exit.png']);
    }));

  test('a reader that has seen enough ends it without a word', async () => {
    const { code, errors } = await runCommand(
      ['read', ...Array.from({ length: 60 }, () => samples[0]!), '--batch-size', '1'],
      {
        onOutput: (child) => child.stdout?.destroy(),
      },
    );
    expect(errors).toEqual([]);
    expect(code).toBe(0);
  });

  test('a reader that has seen enough leaves the files that were asked for whole', () =>
    withFolder(async (folder) => {
      const many = Array.from({ length: 12 }, () => samples[0]!);
      const options = ['--batch-size', '2', '--no-ar', '--refine-iters', '0', '--logits', join(folder, 'l')];
      const { code, errors } = await runCommand(
        ['read', ...many, ...options, '--attention', join(folder, 'p')],
        {
          onOutput: (child) => child.stdout?.destroy(),
        },
      );
      expect([code, errors]).toEqual([0, []]);
      await expectLogits(join(folder, 'l'), 12);
      expect(await readdir(join(folder, 'p'))).toHaveLength(12);
    }));

  test('Ctrl-C ends it after the batch, with whole lines and the logits of what was read', () =>
    withFolder(async (folder) => {
      const many = Array.from({ length: 200 }, () => samples[0]!);
      const options = ['--batch-size', '1', '--format', 'json', '--logits', join(folder, 'logits')];
      const { code, stdout, errors } = await runCommand(['read', ...many, ...options], {
        onOutput: (child, text) => {
          if (text.includes('EXIT') && child.killed === false) child.kill('SIGINT');
        },
      });
      expect(code).toBe(130);
      const rows = JSON.parse(stdout) as Row[];
      expect(rows.length).toBeGreaterThan(0);
      expect(rows.length).toBeLessThan(200);
      await expectLogits(join(folder, 'logits'), rows.length);
      expect(errors).toEqual([
        `${join(folder, 'logits')}: holds the logits of the ${rows.length} images that were read.`,
        'interrupted',
      ]);
      expect(await readdir(folder)).toEqual(['logits']);
    }));

  test('a folder of pictures that goes away ends it, with the logits of what was read', () =>
    withFolder(async (folder) => {
      const many = Array.from({ length: 60 }, () => samples[0]!);
      const [logits, pictures] = [join(folder, 'logits'), join(folder, 'p')];
      const options = ['--batch-size', '1', '--format', 'jsonl', '--logits', logits, '--attention', pictures];
      const { code, stdout, errors } = await runCommand(['read', ...many, ...options], {
        onOutput: () => rmSync(pictures, { recursive: true, force: true, maxRetries: 5 }),
      });
      expect(code).toBe(2);
      const { length } = rowsOf(stdout);
      expect(errors).toEqual([
        expect.stringMatching(/^error: .*ENOENT/),
        `${logits}: holds the logits of the ${length} images that were read.`,
      ]);
      await expectLogits(logits, length);
    }));
});

describe('read refuses in one line', () => {
  const image = samples[0]!;
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stdout, errors } = await runCommand(['read', ...args]);
    expect([code, stdout, errors.length]).toEqual([1, '', 1]);
    return errors[0]!;
  };

  test('values out of bounds, unknown options and wrong combinations', async () => {
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ['Expected a whole number from 1 to 4096', [image, '--batch-size', '0']],
      ['Expected a whole number from 1 to 4096', [image, '--batch-size', 'abc']],
      ['Expected a whole number from 1 to 4096', [image, '--batch-size', '1e9']],
      ['Expected a whole number from 0 to 32', [image, '--refine-iters', '-1']],
      ['Expected a whole number from 0 to 32', [image, '--refine-iters', '999']],
      ['Allowed choices are text, json, jsonl, csv', [image, '--format', 'xml']],
      ['Did you mean --format?', [image, '--formt', 'csv']],
      ['"a" occurs twice', [image, '--charset', 'aa']],
      ['no images given', []],
      ['either images or --pixels', [image, '--pixels', 'x']],
      ['--attention needs image files', ['--pixels', 'x', '--attention', 'y']],
      ['--normalization is for image files', ['--pixels', 'x', '--normalization', 'clip']],
      ['- is given more than once', ['-', '-']],
      ['the folder gone does not exist', [image, '--logits', 'gone/logits']],
      ['is the input', [image, '--logits', image]],
      ['is a file, not a folder', [image, '--attention', image]],
      [
        'no published checkpoint of that name; known are clip4str-base,',
        [image, '--checkpoint', 'clip4str-bse'],
      ],
      ['gone.ckpt: no such file', [image, '--checkpoint', 'gone.ckpt']],
    ];
    const messages: string[] = [];
    // A few at a time: every process loads the whole package.
    for (let start = 0; start < cases.length; start += 4) {
      messages.push(
        ...(await Promise.all(cases.slice(start, start + 4).map(([, args]) => refused(...args)))),
      );
    }
    cases.forEach(([expected], index) => expect(messages[index]).toContain(expected));
  });

  test('checkpoints, pixels and devices that will not do', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'cut.safetensors');
      await writeFile(path, Buffer.concat([Buffer.from([255, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a"')]));
      await mkdir(join(folder, 'empty'));
      const messages = await Promise.all([
        refused(image, '--checkpoint', path),
        refused(image, '--checkpoint', join(folder, 'empty')),
        refused('--pixels', image),
        refused(image, '--device', 'no such adapter'),
        refused(image, '--preset', 'large'),
      ]);
      expect(messages[0]).toMatch(/^error: cut\.safetensors: claims a header of 255 bytes/);
      expect(messages[1]).toContain('is a folder without a safetensors file');
      expect(messages[2]).toMatch(/^error: exit\.png: is no checkpoint/);
      expect(messages[3]).toMatch(/no adapter matches "no such adapter"\. There is: 0: /);
      expect(messages[4]).toMatch(/preset large expects/);
    }));

  test('pixels that the CLIP of --clip-refine cannot take', () =>
    withFolder(async (folder) => {
      const [pixels, clip] = [join(folder, 'pixels'), join(folder, 'clip.safetensors')];
      const images = { name: 'images', dtype: 'f32' as const, shape: [1, 3, 32, 128] };
      await writeSafetensors(pixels, [{ ...images, read: () => new Float32Array(3 * 32 * 128) }]);
      const source = fastClipParameters();
      const tensors = [...source.parameters].map(([name, { shape }]) => ({
        name,
        shape,
        dtype: 'f32' as const,
        read: () => source.readF32(name),
      }));
      await writeSafetensors(clip, tensors);
      expect(await refused('--pixels', pixels, '--clip-refine', clip)).toMatch(
        /^error: pixels: images are 32x128; the CLIP of --clip-refine takes \d+x\d+\.$/,
      );
    }));

  test('nothing but unreadable images', async () => {
    expect(await refused('/dev/null')).toContain('/dev/null: is not a regular file');
  });
});
