/** A thread that loads samples for `loader_threads.ts`: started with a {@link ThreadSetup}, it answers requests. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type DataSet, openDataSource } from './data_source.js';
import { UnusableDataError } from './errors.js';
import type { ThreadReply, ThreadRequest, ThreadSetup } from './loader_messages.js';
import { SampleLoader } from './sample_loader.js';

if (parentPort === null) throw new Error('loader_thread.js is started by the loader, not by itself.');
await run(parentPort, workerData as ThreadSetup);

async function run(port: MessagePort, { source, treatment }: ThreadSetup): Promise<void> {
  try {
    const dataSet = await openDataSource(source);
    serve(port, dataSet, new SampleLoader(dataSet, treatment));
    reply(port, { kind: 'opened', length: dataSet.length });
  } catch (error) {
    fail(port, error);
  }
}

function serve(port: MessagePort, dataSet: DataSet, loader: SampleLoader): void {
  let closing = false;
  const answer = async (request: ThreadRequest): Promise<void> => {
    if (request.kind === 'close') return end(port, dataSet);
    const samples = closing ? undefined : await loader.load(request.run, () => closing);
    if (samples !== undefined) reply(port, { kind: 'loaded', samples }, [samples.pixels.buffer]);
  };
  let answered = Promise.resolve();
  port.on('message', (request: ThreadRequest) => {
    if (request.kind === 'close') closing = true;
    answered = answered.then(() => answer(request)).catch((error: unknown) => fail(port, error));
  });
}

/** Without its listener, and with nothing under way, the thread ends by itself; ending it by force can crash decoders. */
async function end(port: MessagePort, dataSet: DataSet): Promise<void> {
  try {
    await dataSet.close?.();
  } finally {
    port.close();
  }
}

function reply(port: MessagePort, message: ThreadReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function fail(port: MessagePort, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  reply(port, { kind: 'failed', message, unusable: error instanceof UnusableDataError });
}
