/**
 * Shows which peer does which work, and how near its results are to float64:
 * `node dist/bench/peers/check.js FOLDER [ADAPTER] [PEER,PEER] [f32|f16] [KERNEL]`, with the peers installed into the folder
 * unless they are there.
 */
import { existsSync } from 'node:fs';
import { workReference } from '../../test/support/work_reference.js';
import { inputValues } from '../kernels/values.js';
import type { FloatType, MatmulWork, Work } from '../kernels/work.js';
import { type Peer, type PeerName, PeerUnable, installPeers, openPeers, peerNames } from './index.js';

const plainMatmul: MatmulWork = {
  kernel: 'matmul',
  batch: 1,
  rows: 33,
  depth: 70,
  columns: 50,
  leftTransposed: false,
  rightTransposed: false,
  bias: false,
  activation: 'none',
  residual: false,
};

/** Every kind of work on small shapes, most of them odd. */
const cases: readonly Work[] = [
  plainMatmul,
  { ...plainMatmul, rightTransposed: true, bias: true, activation: 'gelu', residual: true },
  { ...plainMatmul, rightTransposed: true, bias: true, activation: 'quick_gelu' },
  { ...plainMatmul, leftTransposed: true, rows: 1, columns: 7 },
  { ...plainMatmul, batch: 3, bias: true, residual: true },
  { ...plainMatmul, batch: 3, leftTransposed: true, rightTransposed: true },
  ...(['attention', 'attention_gradient'] as const).flatMap((kernel) =>
    [false, true].map((causal) => ({
      kernel,
      batch: 2,
      heads: 3,
      queries: 17,
      keys: causal ? 17 : 29,
      width: 24,
      causal,
    })),
  ),
  ...(
    [
      'layernorm',
      'layernorm_gradient',
      'softmax',
      'softmax_gradient',
      'argmax',
      'column_sum',
      'cross_entropy',
      'cross_entropy_gradient',
    ] as const
  ).map((kernel) => ({ kernel, rows: 37, width: 95 })),
  ...(['embedding', 'embedding_gradient'] as const).map((kernel) => ({
    kernel,
    rows: 41,
    tableRows: 23,
    width: 30,
  })),
  ...(['copy', 'add', 'gelu', 'quick_gelu', 'gelu_gradient', 'quick_gelu_gradient', 'adamw'] as const).map(
    (kernel) => ({ kernel, count: 1003 }),
  ),
];

function nameOf(work: Work): string {
  if (work.kernel !== 'matmul')
    return 'causal' in work && work.causal ? `${work.kernel} causal` : work.kernel;
  const { batch, leftTransposed, rightTransposed, bias, activation, residual } = work;
  const parts = [
    batch > 1 && `x${batch}`,
    leftTransposed && 'left^T',
    rightTransposed && 'right^T',
    bias && 'bias',
    activation !== 'none' && activation,
    residual && 'residual',
  ];
  return ['matmul', ...parts].filter(Boolean).join(' ');
}

/** The largest relative error of all outputs, by norm. */
function worstError(actual: Readonly<Record<string, ArrayLike<number>>>, work: Work): number {
  const errors = Object.entries(workReference(work, inputValues(work))).map(([name, expected]) => {
    const values = actual[name];
    if (values?.length !== expected.length) return NaN;
    let [difference, norm] = [0, 0];
    for (let i = 0; i < expected.length; i++) {
      difference += (values[i]! - expected[i]!) ** 2;
      norm += expected[i]! ** 2;
    }
    return Math.sqrt(difference / norm);
  });
  return errors.includes(NaN) ? NaN : Math.max(...errors);
}

async function outcome(peer: Peer, work: Work, dtype: FloatType): Promise<string> {
  try {
    const prepared = await peer.prepare(work, dtype, inputValues(work));
    await prepared.run(2);
    const error = worstError(await prepared.results(), work);
    const start = performance.now();
    await prepared.run(10);
    const each = (performance.now() - start) / 10;
    await prepared.dispose();
    const verdict = error < (dtype === 'f16' ? 5e-3 : 1e-5) ? 'ok' : 'WRONG';
    const note = prepared.note === undefined ? '' : ` (${prepared.note})`;
    return `${verdict} ${error.toExponential(1)} ${each.toFixed(2)} ms${note}`;
  } catch (error) {
    if (error instanceof PeerUnable) return `cannot: ${error.message}`;
    throw error;
  }
}

const [folder, adapter, names, dtype = 'f32', kernel] = process.argv.slice(2);
if (folder === undefined) throw new Error('give the folder of the peers');
if (!existsSync(folder)) await installPeers(folder);
const wanted = (names ? names.split(',') : peerNames) as PeerName[];
const { peers, missing } = await openPeers(folder, adapter, wanted, { hideDriverWarnings: true });
for (const { name, reason } of missing) console.log(`${name}: ${reason}`);
for (const peer of peers) {
  console.log(`\n${peer.name} ${peer.version} (${peer.computesOn})`);
  for (const work of cases) {
    if (kernel !== undefined && work.kernel !== kernel) continue;
    console.log(`  ${nameOf(work).padEnd(44)} ${await outcome(peer, work, dtype as FloatType)}`);
  }
  await peer.close();
}
// Dawn's binding keeps the event loop alive.
process.exit(0);
