/**
 * Times reading the sample images at several batch sizes: `node dist/bench/reading_speed.js [checkpoint] [device]`.
 * Everything counts that a user waits for, from image files in memory to texts; the first reading of each batch size,
 * which compiles kernels, does not.
 */
import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openDevice } from '../engine/index.js';
import { Clip4Str } from '../model/index.js';
import { defaultCheckpoint } from '../weights/index.js';

const batchSizes = [1, 4, 16, 32];
const rounds = 9;

const [checkpoint = defaultCheckpoint(), wanted] = process.argv.slice(2);
const samples = fileURLToPath(new URL('../../samples/', import.meta.url));
const names = (await readdir(samples)).filter((name) => /\.(png|jpg)$/.test(name)).sort();
const images = await Promise.all(names.map((name) => readFile(samples + name)));

const device = await openDevice({
  ...(wanted === undefined ? {} : { device: wanted }),
  hideDriverWarnings: true,
});
const reader = await Clip4Str.load(device, checkpoint);
console.log(`${reader.checkpointName} on ${device.adapter.name}: medians of ${rounds}`);
console.log('batch  ms an image  fastest  slowest  images a second');
for (const batchSize of batchSizes) {
  const batch = Array.from({ length: batchSize }, (_, index) => images[index % images.length]!);
  await reader.read(batch, { batchSize });
  const timesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now();
    await reader.read(batch, { batchSize });
    timesMs.push((performance.now() - startedAt) / batchSize);
  }
  const [fastest, median, slowest] = [0, rounds >> 1, rounds - 1].map(
    (rank) => timesMs.sort((a, b) => a - b)[rank]!,
  );
  const cells = [median!, fastest!, slowest!].map((ms) => ms.toFixed(1));
  console.log(
    `${String(batchSize).padStart(5)}  ${cells[0]!.padStart(11)}  ${cells[1]!.padStart(7)}  ${cells[2]!.padStart(7)}  ` +
      (1000 / median!).toFixed(1).padStart(15),
  );
}
device.close();
