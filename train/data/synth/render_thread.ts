/** A thread that renders words for `render_words.ts`: started with a {@link RenderSetup}, it answers requests. */
import { parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import type { RgbImage } from '../../../model/rgb_image.js';
import type { ImageFormat } from './labelled_folder.js';
import type { RenderReply, RenderRequest, RenderSetup, RenderedWord } from './render_messages.js';
import { Synthesizer } from './synthesizer.js';

if (parentPort === null) throw new Error('render_thread.js is started by the renderer, not by itself.');
const port = parentPort;
const { material, seed, format, quality } = workerData as RenderSetup;
// There are as many of these threads as cores.
sharp.concurrency(1);
const synthesizer = new Synthesizer(material);
let answered = Promise.resolve();
port.on('message', (request: RenderRequest) => {
  // Ending by itself, when nothing is under way, spares the encoder what a thread ended by force does to it.
  if (request === undefined) port.close();
  else answered = answered.then(() => answer(request.first, request.count));
});

async function answer(first: number, count: number): Promise<void> {
  try {
    // Files are encoded on other threads while the next images are made.
    const words = await Promise.all(Array.from({ length: count }, (_, at) => render(first + at)));
    const transfer = words.map(({ image }) => image.buffer);
    port.postMessage({ kind: 'rendered', first, words } satisfies RenderReply, transfer);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ kind: 'failed', message } satisfies RenderReply);
  }
}

async function render(index: number): Promise<RenderedWord> {
  const { image, label } = synthesizer.synthesize(seed, index);
  return { image: await encoded(image, format), label };
}

async function encoded({ width, height, data }: RgbImage, as: ImageFormat): Promise<Uint8Array<ArrayBuffer>> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } });
  // The picture has lost what a camera's file loses already: here colour keeps its resolution.
  const file = as === 'png' ? picture.png() : picture.jpeg({ quality, chromaSubsampling: '4:4:4' });
  return Uint8Array.from(await file.toBuffer());
}
