/** Streaming: a checkpoint larger than the memory allowed for it. */
import { expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { peakRssCode } from './support/peak_memory.js';
import { safetensorsBytes, withFolder } from './support/weights_files.js';

const weights = new URL('../weights/index.js', import.meta.url).href;

test('a 640 MB checkpoint is read through with far less memory, and offsets beyond 4 GB are right', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'large.safetensors');
    const matrixBytes = 64 << 20;
    const hugeBytes = 4.5 * 2 ** 30;
    const header: Record<string, unknown> = {};
    for (let i = 0; i < 10; i++) {
      const begin = i * matrixBytes;
      header[`layer.${i}`] = {
        dtype: 'F16',
        shape: [4096, 8192],
        data_offsets: [begin, begin + matrixBytes],
      };
    }
    const far = 10 * matrixBytes + hugeBytes;
    header.hole = { dtype: 'U8', shape: [hugeBytes], data_offsets: [10 * matrixBytes, far] };
    header.far = { dtype: 'F32', shape: [2], data_offsets: [far, far + 8] };
    const start = safetensorsBytes(header, 0);
    // The file is sparse: only its ends are written, so that it takes neither time nor space.
    const file = await open(path, 'w');
    await file.write(start, 0, start.length, 0);
    await file.write(new Uint8Array(Float32Array.of(1.5, -2.5).buffer), 0, 8, start.length + far);
    await file.close();

    const script = `
      import { openCheckpoint } from ${JSON.stringify(weights)};
      ${peakRssCode}
      const baseBytes = peakRss();
      const checkpoint = await openCheckpoint(${JSON.stringify(path)});
      let elements = 0;
      for (let i = 0; i < 10; i++) {
        for await (const { values } of checkpoint.readChunks('layer.' + i)) elements += values.length;
      }
      const far = Array.from(await checkpoint.readF32('far'));
      await checkpoint.close();
      console.log(JSON.stringify({ elements, far, grownBytes: peakRss() - baseBytes }));
    `;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
    });
    const result = JSON.parse(output) as { elements: number; far: number[]; grownBytes: number };
    expect(result.elements).toBe((10 * matrixBytes) / 2);
    expect(result.far).toEqual([1.5, -2.5]);
    expect(result.grownBytes).toBeLessThan(200 << 20);
    console.log(`640 MB read through with ${(result.grownBytes / 2 ** 20).toFixed(0)} MiB more memory`);
  });
});
