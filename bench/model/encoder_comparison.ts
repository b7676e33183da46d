/** The image encoder by this engine and by ONNX Runtime in turns: the same weights and images. */
import type { Device, Tensor } from '../../engine/index.js';
import type { Clip4StrModel } from '../../model/index.js';
import { type HostParameter, onnxEncoder } from '../peers/onnx_encoder.js';
import type { Peer, PreparedWork } from '../peers/peer.js';
import { PeerUnable } from '../peers/peer_unable.js';
import { median } from '../report/middle.js';
import { betweenSamples, processIdle, warmMs } from '../report/process_idle.js';
import { renderedWords } from './rendered_words.js';

/** Milliseconds of a batch of images on the device to features on it, medians. */
export interface EncoderComparison {
  readonly batchSize: number;
  readonly rounds: number;
  readonly ownMs: number;
  readonly peers: readonly (EncoderPeer | UnableEncoderPeer)[];
}

export interface EncoderPeer {
  readonly name: string;
  readonly ms: number;
  /** Its time over ours. */
  readonly ratio: number;
  /** Largest difference of a feature from ours, over the largest of ours. */
  readonly difference: number;
}

export interface UnableEncoderPeer {
  readonly name: string;
  readonly unable: string;
}

const [mostRounds, fewRounds, longMs] = [7, 3, 5000];
const prefix = 'clip_model.visual.';

/**
 * @param model in f32
 * @throws the signal's reason where that is given
 */
export async function compareEncoder(
  device: Device,
  model: Clip4StrModel,
  peers: readonly Peer[],
  batchSize: number,
  signal?: AbortSignal,
): Promise<EncoderComparison> {
  const { image } = model.configuration;
  const { pixels } = await renderedWords(batchSize, model.configuration);
  const shape = [batchSize, 3, ...image.imageSize];
  const weights = await hostParameters(model);
  const own = ownEncoder(device, model, device.keep(device.tensor(pixels, shape)));
  const prepared: { name: string; work: PreparedWork | string }[] = [];
  try {
    for (const { name, prepareModel } of peers) {
      if (!prepareModel) continue;
      const encoder = onnxEncoder(image, weights, { shape, data: pixels });
      prepared.push({ name, work: await prepareModel(encoder).catch(reasonOfPeer) });
    }
    const expected = (await own.results()).features as Float32Array;
    const works = [own, ...prepared.flatMap(({ work }) => (typeof work === 'string' ? [] : work))];
    const times = new Map(works.map((work) => [work, [] as number[]]));
    for (let rounds = mostRounds, round = 0; round < rounds; round++) {
      for (const [work, taken] of times) {
        await processIdle({ ...betweenSamples, signal });
        if ((taken.at(-1) ?? 0) < warmMs) await work.run(1);
        const start = performance.now();
        await work.run(1);
        taken.push(performance.now() - start);
      }
      if (Math.max(...[...times.values()].flat()) > longMs) rounds = fewRounds;
    }
    const ownMs = median(times.get(own)!);
    const compared = prepared.map(async ({ name, work }): Promise<EncoderPeer | UnableEncoderPeer> => {
      if (typeof work === 'string') return { name, unable: work };
      const ms = median(times.get(work)!);
      const { features } = await work.results();
      return { name, ms, ratio: ms / ownMs, difference: difference(features as Float32Array, expected) };
    });
    return { batchSize, rounds: times.get(own)!.length, ownMs, peers: await Promise.all(compared) };
  } finally {
    await own.dispose();
    for (const { work } of prepared) if (typeof work !== 'string') await work.dispose();
  }
}

function reasonOfPeer(error: unknown): string {
  if (error instanceof PeerUnable) return error.message;
  throw error;
}

async function hostParameters({ parameters }: Clip4StrModel): Promise<(name: string) => HostParameter> {
  const read = new Map<string, HostParameter>();
  for (const [name, tensor] of parameters.entries()) {
    if (!name.startsWith(prefix)) continue;
    const data = (await tensor.read()) as Float32Array;
    read.set(name.slice(prefix.length), { shape: tensor.shape, data });
  }
  return (name) => read.get(name)!;
}

/** The encoder as readings of the same size repeat it. */
function ownEncoder(device: Device, model: Clip4StrModel, images: Tensor): PreparedWork {
  const recording = device.newRecording();
  let features: Tensor | undefined;
  const once = (): void =>
    recording.run(0, () => {
      features = device.keep(model.encodeImages(images).cross);
    });
  once();
  return {
    async run(times) {
      for (let i = 0; i < times; i++) once();
      await device.finish();
    },
    results: async () => ({ features: (await features!.read()) as Float32Array }),
    async dispose() {
      features?.dispose();
      recording.dispose();
      images.dispose();
    },
  };
}

function difference(values: Float32Array, expected: Float32Array): number {
  let [largest, furthest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    furthest = Math.max(furthest, Math.abs(values[i]! - expected[i]!));
  }
  return furthest / largest;
}
