import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { expandInputs } from '../cli/inputs.js';
import { type NamedImage, loadImages } from '../cli/load_images.js';
import { batchesOf } from '../cli/batches.js';
import { checkOutputFile, checkOutputFolder } from '../cli/output_paths.js';
import type { Fault } from '../cli/inputs.js';
import { samplePath } from './support/command.js';
import { withFolder } from './support/weights_files.js';

const onPosix = process.platform === 'win32' ? test.skip : test;

async function filled(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), '');
  }
}

const namesOf = async (inputs: readonly string[]): Promise<string[]> =>
  (await expandInputs(inputs)).images.map(({ name }) => name);

describe('inputs', () => {
  test('a folder gives its images in natural order, and nothing else', () =>
    withFolder(async (folder) => {
      await filled(folder, ['10.png', '9.JPG', 'b.webp', 'notes.txt', 'deeper/1.png', 'a.tiff', 'c.avif']);
      expect(await namesOf([folder])).toEqual(
        ['9.JPG', '10.png', 'a.tiff', 'b.webp', 'c.avif'].map((name) => join(folder, name)),
      );
    }));

  test('files stay in the order given, also twice, and - is the standard input', () =>
    withFolder(async (folder) => {
      await filled(folder, ['b.png', 'a.png']);
      const [a, b] = [join(folder, 'a.png'), join(folder, 'b.png')];
      const { images, faults } = await expandInputs([b, '-', a, b]);
      expect(faults).toEqual([]);
      expect(images).toEqual([
        { name: b, path: b },
        { name: '-', path: undefined },
        { name: a, path: a },
        { name: b, path: b },
      ]);
    }));

  test('patterns are expanded, unless a file has that very name', () =>
    withFolder(async (folder) => {
      await filled(folder, ['1.png', '12.png', '2.jpg', 'in/3.png', '[1].png', 'what?.png']);
      const at = (...names: string[]): string[] => names.map((name) => join(folder, name));
      expect(await namesOf(at('{1,12}.png'))).toEqual(at('1.png', '12.png'));
      expect(await namesOf(at('**/*.png'))).toEqual(
        at('[1].png', '1.png', '12.png', 'in/3.png', 'what?.png'),
      );
      expect(await namesOf(at('[1].png'))).toEqual(at('[1].png'));
      expect(await namesOf(at('what?.png'))).toEqual(at('what?.png'));
      expect(await namesOf(at('[12].png'))).toEqual(at('1.png'));
    }));

  test('an empty path is wrong usage', async () => {
    await expect(expandInputs(['a.png', ''])).rejects.toThrow('an image is given as an empty text');
  });

  test('each input that means no file says why', () =>
    withFolder(async (folder) => {
      await filled(folder, ['file.png', 'texts/a.txt', 'outer/inner/a.png']);
      await symlink('nowhere', join(folder, 'dangling.png'));
      await symlink('round.png', join(folder, 'round.png'));
      const reasonOf = async (name: string): Promise<string> => {
        const { images, faults } = await expandInputs([join(folder, name)]);
        expect(images).toEqual([]);
        expect(faults).toHaveLength(1);
        expect(faults[0]!.name).toBe(join(folder, name));
        return faults[0]!.reason;
      };
      expect(await reasonOf('missing.png')).toBe('no such file or folder');
      expect(await reasonOf('dangling.png')).toBe('no such file or folder');
      expect(await reasonOf('round.png')).toBe('links go round in a circle');
      expect(await reasonOf('file.png/a.png')).toBe('part of the path is a file, not a folder');
      expect(await reasonOf('*.nothing')).toBe('no file matches this pattern');
      expect(await reasonOf('texts')).toBe('is a folder without images');
      expect(await reasonOf('outer')).toMatch(/without images; .*outer\/\*\*\/\*\.jpg/);
    }));
});

describe('loading', () => {
  async function loaded(names: readonly string[]): Promise<(NamedImage | Fault)[]> {
    const results: (NamedImage | Fault)[] = [];
    for await (const image of loadImages(names.map((name) => ({ name, path: name })))) results.push(image);
    return results;
  }

  test('keeps the order and reports what is no image where it stands', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'empty.png'), '');
      await writeFile(join(folder, 'text.png'), 'hello');
      const names = [
        samplePath('exit.png'),
        join(folder, 'empty.png'),
        samplePath('number.png'),
        join(folder, 'text.png'),
        join(folder, 'gone.png'),
        folder,
        ...Array.from({ length: 6 }, () => samplePath('parking.jpg')),
      ];
      const results = await loaded(names);
      expect(results.map(({ name }) => name)).toEqual(names);
      expect(results.map((result) => ('reason' in result ? result.reason : 'image'))).toEqual([
        'image',
        'the image is empty (0 bytes).',
        'image',
        'not an image: expected JPEG, PNG, WebP, GIF, TIFF or AVIF.',
        'no such file or folder',
        'is not a regular file; to read from a pipe give - as the image',
        ...Array.from({ length: 6 }, () => 'image'),
      ]);
      expect(results[0]).toMatchObject({ image: { width: 150, height: 60 } });
    }));

  async function* sized(...widths: number[]): AsyncGenerator<NamedImage> {
    for (const width of widths) {
      yield { name: String(width), image: { width, height: 1, data: new Uint8Array(0) } };
    }
  }

  async function batchNames(
    images: AsyncIterable<NamedImage>,
    size: number,
    pixels: number,
  ): Promise<string> {
    const batches: string[] = [];
    for await (const batch of batchesOf(images, size, pixels)) {
      batches.push(batch.map(({ name }) => name).join('+'));
    }
    return batches.join(' ');
  }

  test('batches hold as many images as asked for, and fewer large ones', async () => {
    expect(await batchNames(sized(1, 2, 3, 4, 5), 2, 100)).toBe('1+2 3+4 5');
    expect(await batchNames(sized(1, 2, 3), 5, 100)).toBe('1+2+3');
    expect(await batchNames(sized(60, 40, 1, 200, 5, 96), 5, 100)).toBe('60+40 1 200 5 96');
    expect(await batchNames(sized(), 5, 100)).toBe('');
  });
});

describe('output paths', () => {
  test('are refused before anything is computed', () =>
    withFolder(async (folder) => {
      await filled(folder, ['in.png', 'sub/x']);
      await symlink('in.png', join(folder, 'link.png'));
      const input = join(folder, 'in.png');
      const check = (path: string): Promise<void> => checkOutputFile('--out', join(folder, path), [input]);
      await expect(check('new.bin')).resolves.toBeUndefined();
      await expect(check('gone/new.bin')).rejects.toThrow(/--out: the folder .*gone does not exist/);
      await expect(check('in.png/new.bin')).rejects.toThrow(/is a file, not a folder/);
      await expect(check('sub')).rejects.toThrow(/is a folder; name a file/);
      await expect(check('in.png')).rejects.toThrow(/is the input/);
      await expect(check('link.png')).rejects.toThrow(/is the input/);
      await expect(check('sub/../in.png')).rejects.toThrow(/is the input/);
    }));

  onPosix('are files: a device, a pipe or a link to nothing is no place to write to', () =>
    withFolder(async (folder) => {
      execFileSync('mkfifo', [join(folder, 'pipe')]);
      await symlink('nowhere', join(folder, 'dangling'));
      await mkdir(join(folder, 'closed'), { mode: 0o555 });
      await filled(folder, ['there']);
      await symlink('there', join(folder, 'link'));
      const check = (path: string): Promise<void> => checkOutputFile('--out', path);
      await expect(check('/dev/null')).rejects.toThrow('--out: null: is a device, pipe or socket');
      await expect(check(join(folder, 'pipe'))).rejects.toThrow('--out: pipe: is a device, pipe or socket');
      await expect(check(join(folder, 'dangling'))).rejects.toThrow('--out: dangling: is a link that leads');
      await expect(check(join(folder, 'link'))).resolves.toBeUndefined();
      // The superuser may write everywhere.
      if (process.getuid?.() !== 0) {
        await expect(check(join(folder, 'closed', 'new'))).rejects.toThrow(/closed: permission denied/);
      }
    }),
  );

  test('folders with inputs in them are refused, by whatever way they are named', () =>
    withFolder(async (folder) => {
      await filled(folder, ['in/a.png', 'in/sub/b.png']);
      await symlink('in', join(folder, 'link'));
      await filled(folder, ['other/x.png']);
      await symlink('../in/a.png', join(folder, 'other/link.png'));
      const inputs = [join(folder, 'in/a.png')];
      const linked = [join(folder, 'other/link.png')];
      await expect(checkOutputFolder('--out', join(folder, 'in'), linked)).rejects.toThrow(/which is read/);
      await expect(checkOutputFolder('--out', join(folder, 'other'), linked)).rejects.toThrow(
        /which is read/,
      );
      for (const path of ['in', 'in/sub/..', 'link', './in/']) {
        await expect(checkOutputFolder('--out', join(folder, path), inputs)).rejects.toThrow(
          /a\.png, which is read/,
        );
      }
      await expect(checkOutputFolder('--out', join(folder, 'in/sub'), inputs)).resolves.toBeUndefined();
    }));

  test('folders are made unless a file is in the way', () =>
    withFolder(async (folder) => {
      await filled(folder, ['file']);
      await checkOutputFolder('--out', join(folder, 'a/b'));
      await checkOutputFolder('--out', join(folder, 'a/b'));
      await expect(checkOutputFolder('--out', join(folder, 'file'))).rejects.toThrow(
        /is a file, not a folder/,
      );
      await expect(checkOutputFolder('--out', join(folder, 'file/x'))).rejects.toThrow(
        /part of the path is a file/,
      );
    }));
});
