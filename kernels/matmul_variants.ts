/** The ways to multiply matrices and the problems and adapters each is for. */
import { type MatmulVariant, matmulLaunch, vectorDimension } from './matmul.js';

/** Subgroups that are the vectors of a CPU: broadcasts instead of loads. */
const matmulBroadcast: MatmulVariant = {
  name: 'matmul_broadcast',
  canApply: (_, { software, subgroupSize }) => software && subgroupSize >= 4,
  launch(problem, traits) {
    const lanes = traits.subgroupSize;
    // More than 16 rows gain a tenth at most and take twice as long to compile.
    const rows = problem.left.shape[2]! <= 4 ? 4 : 16;
    const leftVector = vectorDimension('left', problem.left);
    const defines = {
      LANES: lanes,
      LOADS: Math.ceil(rows / lanes),
      LEFT_VECTOR: leftVector === 'depth' ? leftVector : 'none',
      RIGHT_VECTOR: vectorDimension('right', problem.right),
    };
    return matmulLaunch(this.name, problem, { tile: [rows, 4 * lanes], defines, subgroups: true }, traits);
  },
};

/** Any problem on any adapter. */
const matmulPlain: MatmulVariant = {
  name: 'matmul_plain',
  canApply: () => true,
  launch(problem, traits) {
    return matmulLaunch(this.name, problem, { tile: [32, 32], defines: {} }, traits);
  },
};

/** The ways to multiply, in the order in which they are tried. */
export const matmulVariants: readonly MatmulVariant[] = [matmulBroadcast, matmulPlain];
