/** ONNX Runtime on the CPU (onnxruntime-node). */
import { type OnnxModel, onnxModel } from './onnx_model.js';
import { type Ort, type OrtTensors, emptyData, plainResults, workOf } from './onnx_runtime.js';
import { installedVersion, requireInstalled } from './packages.js';
import type { Peer, PreparedWork } from './peer.js';
import { orUnable } from './peer_unable.js';

const packageName = 'onnxruntime-node';

/**
 * Opens the runtime with its own number of threads.
 * @throws PeerUnable where the package is not installed or has no binary for this machine
 */
export async function openOnnxCpu(folder: string): Promise<Peer> {
  const version = installedVersion(folder, packageName);
  const ort = await orUnable(async () =>
    requireInstalled<Ort>(folder, packageName, ['InferenceSession', 'Tensor']),
  );
  return {
    name: 'ONNX Runtime (CPU)',
    version,
    computesOn: 'cpu',
    prepare: async (work, dtype, values) =>
      workOf(work, await orUnable(() => prepare(ort, () => onnxModel(work, dtype, values)))),
    prepareModel: (model) => orUnable(() => prepare(ort, () => model)),
    close: async () => undefined,
  };
}

async function prepare(ort: Ort, model: () => OnnxModel): Promise<PreparedWork> {
  const { bytes, inputs, outputs } = model();
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const feeds: OrtTensors = Object.fromEntries(
    inputs.map(({ name, type, data, shape }) => [name, new ort.Tensor(type, data, shape)]),
  );
  const results: OrtTensors = Object.fromEntries(
    outputs.map((output) => [output.name, new ort.Tensor(output.type, emptyData(output), output.shape)]),
  );
  try {
    await session.run(feeds, results);
  } catch (error) {
    await session.release();
    throw error;
  }
  return {
    async run(times) {
      for (let i = 0; i < times; i++) await session.run(feeds, results);
    },
    async results() {
      await session.run(feeds, results);
      const data = outputs.map(({ name }) => [name, results[name]!.data] as const);
      return plainResults(outputs, Object.fromEntries(data));
    },
    dispose: () => session.release(),
  };
}
