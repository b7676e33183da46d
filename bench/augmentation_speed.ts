/**
 * Times what training does to images before the GPU sees them: `node dist/bench/augmentation_speed.js [folder of images]`.
 * Without a folder the sample images are taken, shrunk to the size of common crops. Prints images a second of one core
 * for decoding, augmenting and resizing, the time of each augmentation, and images a second of the whole loader by threads.
 */
import { readFile, readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { decodeImage } from '../model/decode_image.js';
import { preprocessImage } from '../model/image.js';
import type { RgbImage } from '../model/index.js';
import type { Sample } from '../train/data/data_source.js';
import { Loader } from '../train/data/loader.js';
import { memorySource } from '../train/data/memory_data_set.js';
import { augmentOperations, randAugment } from '../train/data/rand_augment.js';
import { sampleRandom } from '../train/data/sample_random.js';

const sizes = [
  [32, 128],
  [224, 224],
] as const;
const commonCrop = { width: 100, height: 32 } as const;
const magnitude = 5;
const stageSeconds = 1.5;
const operationSeconds = 0.15;
const loaderImages = 2048;
const batchSize = 64;

const [folder] = process.argv.slice(2);
const files = folder === undefined ? await sampleCrops() : await imagesOf(folder);
const decoded: RgbImage[] = [];
for (const { image } of files) decoded.push(await decodeImage(image));
const meanPixels = decoded.reduce((sum, { width, height }) => sum + width * height, 0) / decoded.length;
console.log(
  `${files.length} images of ${meanPixels.toFixed(0)} pixels on average; images in a second of one core's time:`,
);

const random = sampleRandom(1, 0, 0);
print('decode', await rateOf(stageSeconds, (index) => decodeImage(files[index % files.length]!.image)));
const augment = (index: number) => randAugment(decoded[index % decoded.length]!, random);
print('augment', await rateOf(stageSeconds, augment));
for (const size of sizes) {
  const resize = (index: number) => preprocessImage(decoded[index % decoded.length]!, size, 'half');
  print(`resize to ${size.join('x')}`, await rateOf(stageSeconds, resize));
}

console.log('\nmicroseconds of one augmentation:');
for (const { name, apply } of augmentOperations) {
  const rate = await rateOf(operationSeconds, (index) =>
    apply(decoded[index % decoded.length]!, magnitude, random),
  );
  print(name, 1e6 / rate);
}

console.log('\nthe whole loader, images a second by threads:');
for (const imageSize of sizes) {
  for (let threads = 1; threads <= availableParallelism(); threads *= 2) {
    print(`${imageSize.join('x')}, ${threads}`, await loaderRate(imageSize, threads));
  }
}

async function sampleCrops(): Promise<{ name: string; image: Uint8Array }[]> {
  const images = await imagesOf(fileURLToPath(new URL('../../samples/', import.meta.url)));
  return Promise.all(
    images.map(async ({ name, image }) => ({
      name,
      image: await sharp(image)
        .resize({ ...commonCrop, fit: 'fill' })
        .jpeg()
        .toBuffer(),
    })),
  );
}

async function imagesOf(path: string): Promise<{ name: string; image: Uint8Array }[]> {
  const names = (await readdir(path)).filter((name) => /\.(png|jpe?g)$/i.test(name)).sort();
  if (names.length === 0) throw new Error(`${path} has no PNG or JPEG images.`);
  return Promise.all(names.map(async (name) => ({ name, image: await readFile(join(path, name)) })));
}

/**
 * Runs a step for a while, one after the other.
 * @returns how often in a second of processor time, all threads together: other programs on the machine do not count.
 */
async function rateOf(seconds: number, step: (index: number) => unknown): Promise<number> {
  for (let index = 0; index < 100; index++) await step(index);
  const busySeconds = () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  const before = process.cpuUsage();
  let count = 0;
  while (count === 0 || busySeconds() < seconds) await step(count++);
  return count / busySeconds();
}

async function loaderRate(imageSize: readonly [number, number], threads: number): Promise<number> {
  const samples = Array.from({ length: loaderImages }, (_, index): Sample => {
    const { name, image } = files[index % files.length]!;
    return { image, label: basename(name), source: name };
  });
  const loader = await Loader.open({
    source: memorySource(samples),
    imageSize,
    normalization: 'half',
    augment: true,
    seed: 1,
    batchSize,
    shuffle: true,
    dropLast: true,
    threads,
    onCorrupt: ({ source, reason }) => console.error(`${source}: ${reason}`),
  });
  try {
    // The first batches wait for threads to start and code to be compiled.
    for (let warm = 0; warm < loader.batchesPerEpoch; warm++) await loader.next();
    const startedAt = performance.now();
    for (let batch = 0; batch < loader.batchesPerEpoch; batch++) await loader.next();
    return (loader.batchesPerEpoch * batchSize * 1000) / (performance.now() - startedAt);
  } finally {
    await loader.close();
  }
}

function print(name: string, value: number): void {
  console.log(`  ${name.padEnd(22)} ${value.toFixed(0).padStart(8)}`);
}
