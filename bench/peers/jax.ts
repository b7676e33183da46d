/** jax-js on WebGPU, in Node. */
import type { OperandValues } from '../kernels/values.js';
import type { FloatType, NumberType, Work } from '../kernels/work.js';
import type { Jax, JaxArray } from './jax_api.js';
import { type JaxArrays, jaxWork } from './jax_work.js';
import { type PeerAdapter, awake, withErrorScopes } from './navigator_gpu.js';
import { fromPeer, peerOperands, toPeer } from './operands.js';
import { importInstalled, installedVersion } from './packages.js';
import type { Peer, PreparedWork } from './peer.js';
import { PeerUnable, orUnable, noInt8 } from './peer_unable.js';

const packageName = '@jax-js/jax';
const layout = 'tokens first';

/**
 * Opens the runtime on an adapter, which must be `navigator.gpu`'s.
 * @throws PeerUnable where the package is not installed or does not start
 */
export async function openJax(folder: string, adapter: PeerAdapter): Promise<Peer> {
  const version = installedVersion(folder, packageName);
  const jax = await orUnable(() => awake(start(folder, adapter)));
  return {
    name: 'jax-js',
    version,
    computesOn: 'webgpu',
    prepare: (work, dtype, values) => orUnable(() => awake(prepare(jax, work, dtype, values))),
    // It has one device for good.
    close: async () => undefined,
  };
}

async function start(folder: string, { gpu }: PeerAdapter): Promise<Jax> {
  const jax = await importInstalled<Jax>(folder, packageName, 'dist/index.js', ['init', 'jit', 'vjp', 'nn']);
  provideIteratorMethods();
  if (!gpu || !(await jax.init('webgpu')).includes('webgpu'))
    throw new PeerUnable('its WebGPU backend does not start');
  jax.defaultDevice('webgpu');
  return jax;
}

/** Iterators have `map` and `filter` from Node 22 on, and jax-js's attention needs them. */
function provideIteratorMethods(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([].values())) as object;
  const methods = {
    *map(this: Iterable<unknown>, change: (item: unknown) => unknown) {
      for (const item of this) yield change(item);
    },
    *filter(this: Iterable<unknown>, keep: (item: unknown) => boolean) {
      for (const item of this) if (keep(item)) yield item;
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    if (name in prototype) continue;
    Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
  }
}

async function prepare(
  jax: Jax,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
): Promise<PreparedWork> {
  if (dtype === 'int8') throw new PeerUnable(noInt8);
  const device = jax.getWebGPUDevice();
  if (dtype === 'f16' && !device.features.has('shader-f16')) throw new PeerUnable('the adapter has no f16');
  const operands = upload(jax, work, dtype, values);
  const { outputs } = peerOperands(work, dtype, layout);
  let compiled: Compiled | undefined;
  const dispose = async (): Promise<void> => {
    compiled?.dispose();
    for (const array of Object.values(operands)) array.dispose();
  };
  const compute = (): readonly JaxArray[] => compiled!.compute();
  const run = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      // Asking for a buffer starts the work: arrays are computed when they are needed.
      for (const result of compute()) result.gpuBufferSync();
    }
    await device.queue.onSubmittedWorkDone();
  };
  let notes: readonly string[];
  try {
    compiled = compile(jax, work, dtype, operands);
    notes = [compiled.note ?? [], widened(compute(), dtype)].flat();
    await withErrorScopes(device, () => run(1));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
    run: (times) => awake(run(times)),
    async results() {
      const results = compute();
      const read: Record<string, Float32Array | Uint32Array> = {};
      for (const [i, { name, dtype }] of outputs.entries()) {
        const result = results[i]!;
        const data = await awake((dtype === 'u32' ? result : result.astype('float32')).data());
        read[name] = dtype === 'u32' ? Uint32Array.from(data) : Float32Array.from(data);
      }
      return fromPeer(work, layout, read);
    },
    dispose,
  };
}

/** Some of its functions give f32 for f16. Frees the results. */
function widened(results: readonly JaxArray[], dtype: FloatType): readonly string[] {
  const wide = dtype === 'f16' && results.some((result) => result.dtype === 'float32');
  for (const result of results) result.dispose();
  return wide ? ['its result is f32'] : [];
}

function upload(jax: Jax, work: Work, dtype: FloatType, values: OperandValues): JaxArrays {
  const laidOut = toPeer(work, layout, values);
  return Object.fromEntries(
    peerOperands(work, dtype, layout).inputs.map(({ name, shape, dtype }) => {
      const data = laidOut[name]!;
      if (data instanceof Uint32Array) {
        return [name, jax.numpy.array(Int32Array.from(data), { shape, dtype: 'int32' })];
      }
      const floats = jax.numpy.array(data, { shape, dtype: 'float32' });
      return [name, dtype === 'f16' ? floats.astype('float16') : floats];
    }),
  );
}

interface Compiled {
  compute(): readonly JaxArray[];
  readonly note?: string;
  dispose(): void;
}

/** Of gradients only the way back is computed by each call; what it needs of the way there is kept. */
function compile(jax: Jax, work: Work, dtype: FloatType, operands: JaxArrays): Compiled {
  const floats = dtype === 'f16' ? 'float16' : 'float32';
  const { call, inputs, resultGradient, note } = jaxWork(jax, work, floats, operands);
  const noted = note === undefined ? {} : { note };
  const given = new Set(Object.values(operands));
  const own = [...inputs, ...(resultGradient ? [resultGradient] : [])].filter((array) => !given.has(array));
  const disposeOwn = (): void => {
    for (const array of own) array.dispose();
  };
  if (!resultGradient) {
    const compiled = jax.jit(call);
    const compute = (): JaxArray[] => [compiled(...inputs.map((array) => array.ref))];
    return {
      compute,
      ...noted,
      dispose() {
        compiled.dispose();
        disposeOwn();
      },
    };
  }
  const [result, backward] = jax.vjp(
    call,
    inputs.map((array) => array.ref),
  );
  result.dispose();
  const compiled = jax.jit((gradient) => backward(gradient));
  return {
    compute: () => compiled(resultGradient.ref),
    ...noted,
    dispose() {
      compiled.dispose();
      backward.dispose();
      disposeOwn();
    },
  };
}
