import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/random.js';
import { examineFont } from '../train/data/synth/examine_font.js';
import { fetchFonts } from '../train/data/synth/fetch_fonts.js';
import { includedFamilies, recommendedFamilies } from '../train/data/synth/font_families.js';
import { findFonts } from '../train/data/synth/fonts.js';
import { gatherMaterial } from '../train/data/synth/index.js';
import { unpackWoff } from '../train/data/synth/woff.js';
import { withFolder } from './support/weights_files.js';

const none = new Set<string>();
const latin = Array.from({ length: 95 }, (_, index) => 0x20 + index);

function fontFile(family: string, ending = 'woff'): string {
  const folder = dirname(fileURLToPath(import.meta.resolve(`@fontsource/${family}/package.json`)));
  return join(folder, 'files', `${family}-latin-400-normal.${ending}`);
}

describe('fonts', () => {
  test('come with the package, in families of all categories', async () => {
    const { families, faults, otherScripts } = await findFonts([], none);
    expect(families).toHaveLength(includedFamilies.length);
    expect(new Set(families.map(({ category }) => category))).toEqual(
      new Set(['sans-serif', 'serif', 'display', 'handwriting', 'monospace']),
    );
    expect(faults).toEqual([]);
    expect(otherScripts).toBeGreaterThan(0);
    expect(families.find(({ name }) => name === 'PT Serif')!.faces).toHaveLength(4);
    for (const { faces } of families) {
      for (const { codePoints } of faces) expect(codePoints.length).toBeGreaterThan(85);
    }
  });

  test('are the same from .woff, .woff2 and unpacked', async () => {
    await withFolder(async (folder) => {
      const unpacked = join(folder, 'abel.ttf');
      await writeFile(unpacked, unpackWoff(await readFile(fontFile('abel'))));
      const [woff, woff2, ttf] = [fontFile('abel'), fontFile('abel', 'woff2'), unpacked].map((path) =>
        examineFont(path, latin),
      );
      expect(woff).toMatchObject({ kind: 'usable', family: 'Abel' });
      expect(ttf).toEqual(woff);
      expect(woff2).toMatchObject({ kind: 'usable', family: 'Abel' });
    });
  });

  test('that cannot be used are told in one line each, and the others are used', async () => {
    await withFolder(async (folder) => {
      const whole = await readFile(fontFile('abel'));
      await mkdir(join(folder, 'folder.ttf'));
      await mkdir(join(folder, 'deeper'));
      await copyFile(fontFile('abel'), join(folder, 'deeper', 'good.WOFF'));
      await writeFile(join(folder, 'empty.otf'), '');
      await writeFile(join(folder, 'text.ttf'), 'no font\\nat all');
      await writeFile(join(folder, 'half.woff'), whole.subarray(0, whole.length / 2));
      await writeFile(join(folder, 'header.woff'), whole.subarray(0, 60));
      await writeFile(join(folder, 'readme.txt'), 'not looked at');
      const { families, faults, otherScripts } = await findFonts([folder], none);
      expect(families.map(({ name, faces }) => [name, faces.length])).toEqual([['Abel', 1]]);
      expect(otherScripts).toBe(0);
      expect(faults.map(({ name }) => name.slice(folder.length + 1))).toEqual([
        'empty.otf',
        'half.woff',
        'header.woff',
        'text.ttf',
      ]);
      for (const { reason } of faults) expect(reason).toMatch(/^is no font that can be read: [^\n]+$/);
    });
  });

  test('of one name and several endings count once', async () => {
    await withFolder(async (folder) => {
      for (const ending of ['woff', 'woff2']) {
        await copyFile(fontFile('abel', ending), join(folder, `abel.${ending}`));
      }
      const { families } = await findFonts([folder], none);
      expect(families.map(({ faces }) => faces.length)).toEqual([1]);
    });
  });

  test('however damaged, never stop the search', async () => {
    const whole = await readFile(fontFile('pacifico'));
    const random = new RandomGenerator(1);
    await withFolder(async (folder) => {
      const path = join(folder, 'font.woff');
      const kinds = new Set<string>();
      for (let round = 0; round < 30; round++) {
        // Damage to packed tables is found at once: unpacked ones let it through to the reader.
        const bytes = Buffer.from(round % 3 === 0 ? whole : unpackWoff(whole));
        for (let change = 0; change < 4; change++) {
          const end = random.next() < 0.5 ? 600 : bytes.length;
          bytes[random.integer(end)] = random.integer(256);
        }
        await writeFile(path, bytes);
        kinds.add(examineFont(path, latin).kind);
      }
      expect(kinds).toContain('unusable');
    });
  });

  test('must be in a folder that is there and has some', async () => {
    await expect(gatherMaterial({ fonts: ['/nowhere'] })).rejects.toThrow(
      "the fonts' folder /nowhere does not exist.",
    );
    await withFolder(async (folder) => {
      await expect(gatherMaterial({ fonts: [folder] })).rejects.toThrow(/no usable font in .*Expected \.ttf/);
      await writeFile(join(folder, 'bad.ttf'), 'bad');
      await expect(gatherMaterial({ fonts: [folder] })).rejects.toThrow(
        /1 cannot be used \(.*bad\.ttf is no font/,
      );
    });
  });
});

describe('words of the user', () => {
  test('are left out where no font has their characters', async () => {
    await withFolder(async (folder) => {
      const words = join(folder, 'words.txt');
      await writeFile(words, 'plain\n\u4e2d\u6587\ncaf\u00e9\nlonger than ten\n');
      const { material, notes } = await gatherMaterial({ words: [words], longestText: 10 });
      expect(material.ownWords).toEqual(['plain', 'café']);
      expect(notes).toEqual([
        `${words}: lines left out: 1 longer than 10 characters.`,
        '1 words have characters that none of the fonts has, and are left out.',
      ]);
      await writeFile(words, '\u4e2d\u6587\n');
      await expect(gatherMaterial({ words: [words] })).rejects.toThrow(/none of the words can be drawn/);
      await writeFile(words, '\n\n');
      await expect(gatherMaterial({ words: [words] })).rejects.toThrow(/holds no usable word/);
    });
  });

  test('are refused with a share or length out of range', async () => {
    await expect(gatherMaterial({ wordsShare: 1.5 })).rejects.toThrow(/wordsShare is 1\.5; expected/);
    await expect(gatherMaterial({ longestText: 0 })).rejects.toThrow(/longestText is 0; expected/);
  });
});

describe('fetching families', () => {
  test('knows hundreds, each once, those that come with the package among them', () => {
    expect(recommendedFamilies.length).toBeGreaterThan(300);
    expect(new Set(recommendedFamilies).size).toBe(recommendedFamilies.length);
    for (const family of recommendedFamilies) expect(family).toMatch(/^@fontsource\/[a-z0-9-]+$/);
    expect(recommendedFamilies).toEqual(expect.arrayContaining([...includedFamilies]));
  });

  test('leaves the package.json of another project alone', async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, 'package.json'), '{"name":"mine"}');
      await expect(fetchFonts(folder)).rejects.toThrow(/holds a package\.json of something else/);
      expect(await readFile(join(folder, 'package.json'), 'utf8')).toBe('{"name":"mine"}');
    });
  });

  const onPosix = process.platform === 'win32' ? test.skip : test;

  onPosix('asks npm for all at once, without scripts, and counts what came', async () => {
    await withFakeNpm(
      `mkdir -p node_modules/@fontsource/abel
       echo '{"name":"@fontsource/abel","license":"OFL-1.1"}' > node_modules/@fontsource/abel/package.json
       echo "$@" > arguments`,
      async (folder, npm) => {
        const packages = ['@fontsource/abel', '@fontsource/gone'];
        const fetched = await fetchFonts(folder, { packages, npm });
        expect(fetched).toEqual({
          families: 1,
          licences: new Map([['OFL-1.1', 1]]),
          missing: ['@fontsource/gone'],
        });
        expect(await readFile(join(folder, 'arguments'), 'utf8')).toContain('install --ignore-scripts');
        const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as object;
        expect(manifest).toMatchObject({
          private: true,
          optionalDependencies: { '@fontsource/gone': '^5.0.0' },
        });
        // Once more: the folder is known.
        await fetchFonts(folder, { packages, npm });
      },
    );
  });

  test('says that npm is missing', async () => {
    await withFolder(async (folder) => {
      const nowhere = join(folder, 'npm');
      await expect(fetchFonts(join(folder, 'fonts'), { npm: nowhere })).rejects.toThrow(/npm/);
    });
  });

  onPosix('says what npm complains of', async () => {
    await withFakeNpm('echo "network is down" >&2; exit 7', async (folder, npm) => {
      await expect(fetchFonts(folder, { npm })).rejects.toThrow(/failed \(exit code 7\): network is down/);
    });
    await withFakeNpm('exit 0', async (folder, npm) => {
      await expect(fetchFonts(folder, { npm })).rejects.toThrow(/npm installed none of \d+ families/);
    });
  });
});

/** Uses a new folder and a shell script in place of npm. */
async function withFakeNpm(
  script: string,
  use: (folder: string, npm: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const npm = join(folder, 'npm');
    await writeFile(npm, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await use(join(folder, 'fonts'), npm);
  });
}
