/**
 * Decodes and resizes the images of a reference and compares the pixels with those of Pillow:
 *
 *     node dist/bench/preprocess_parity.js <folder with pixels.safetensors and images/>
 *
 * Ends with 1 where a pixel is further than 1 of 255 off, or fewer than 99.9 % of an image's values are equal.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage } from '../model/decode_image.js';
import { resizeBicubic } from '../model/resize.js';
import { openCheckpoint } from '../weights/index.js';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: node dist/bench/preprocess_parity.js <folder with pixels.safetensors and images/>');
  process.exit(1);
}
try {
  process.exitCode = (await compareAll(folder)) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** Pixels are stored as `<file>|rgb` `[height, width, 3]` and, resized, as `<file>|<height>x<width>`. */
async function compareAll(folder: string): Promise<boolean> {
  const pixels = await openCheckpoint(join(folder, 'pixels.safetensors'));
  let within = true;
  try {
    const files = [...pixels.tensors.keys()].flatMap((name) => /^(.*\.\w+)\|rgb$/.exec(name)?.[1] ?? []);
    for (const file of files) {
      const image = await decodeImage(await readFile(join(folder, 'images', file)));
      for (const name of pixels.tensors.keys()) {
        const kind = name.startsWith(`${file}|`) ? name.slice(file.length + 1) : '';
        const size = /^(\d+)x(\d+)$/.exec(kind);
        if (!size && kind !== 'rgb') continue;
        const { data } = size ? resizeBicubic(image, Number(size[1]), Number(size[2])) : image;
        const { equal, largest } = differences(data, (await pixels.read(name)) as Uint8Array);
        console.log(`${name}: ${(equal * 100).toFixed(3)} % equal, off by at most ${largest}`);
        within &&= equal >= 0.999 && largest <= 1;
      }
    }
  } finally {
    await pixels.close();
  }
  return within;
}

function differences(actual: Uint8Array, expected: Uint8Array): { equal: number; largest: number } {
  if (actual.length !== expected.length) return { equal: 0, largest: Infinity };
  const off = actual.map((value, index) => Math.abs(value - expected[index]!));
  const largest = off.reduce((most, difference) => Math.max(most, difference), 0);
  return { equal: off.filter((difference) => difference === 0).length / off.length, largest };
}
