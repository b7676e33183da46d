import { launchMomentum, launchUpdate, momentumAccess, updateAccess } from '../../kernels/index.js';
import { EngineError } from '../errors.js';
import { add, contiguous, divide, multiply, sqrt } from '../operations/elementwise.js';
import { fill } from '../operations/fill.js';
import { matmul } from '../operations/matmul.js';
import { sum } from '../operations/rows.js';
import { dispatchSets } from '../operations/sets.js';
import { shapeText } from '../shape.js';
import { type Tensor, allocate } from '../tensor.js';
import type { GradientControl } from './gradient_control.js';
import { type MovingParameter, type OptimizedGroup, Optimizer } from './optimizer.js';

export interface MuonOptions {
  /** Default 0.95. */
  readonly momentum?: number;
}

/** Coefficients of the quintic iteration, and how often it is applied (Jordan et al., 2024). */
const [linearTerm, cubicTerm, quinticTerm] = [3.4445, -4.775, 2.0315];
export const iterations = 5;
/** Singular values are smaller by it than they should be. */
const iteratedFactor = linearTerm ** iterations;

/**
 * Muon (Jordan et al., 2024), for matrices: Nesterov momentum, made nearly orthogonal by Newton-Schulz iterations. An
 * update of `[rows, columns]` is scaled by sqrt(max(1, rows / columns)).
 */
export class Muon extends Optimizer {
  protected readonly kinds = ['momentum'];
  private readonly momentum: number;
  /** Keeps a direction of zeros from being divided by zero, during a step. */
  private tiny: Tensor | undefined;

  constructor(groups: readonly OptimizedGroup[], { momentum = 0.95 }: MuonOptions = {}) {
    super(groups);
    for (const [name, { rank, shape }] of groups.flatMap(({ parameters }) => [...parameters])) {
      if (rank !== 2) throw new EngineError(`Muon: ${name} is ${shapeText(shape)}; it trains matrices alone`);
    }
    this.momentum = momentum;
  }

  override step(control?: GradientControl): void {
    this.device.scope(() => {
      this.tiny = fill(allocate(this.device, 'f32', [1], 'muon'), 1e-14);
      super.step(control);
    });
  }

  protected update(
    parameters: readonly MovingParameter[],
    { learningRate, weightDecay }: OptimizedGroup,
    { factor, skip }: GradientControl,
  ): void {
    const { device, momentum } = this;
    for (const together of stacksOf(parameters)) {
      const shape = together[0]!.parameter.shape as [number, number];
      const settings = { learningRate, weightDecay, scale: updateScale(shape) };
      device.scope(() => {
        const directions = allocate(device, 'f32', [together.length, ...shape], 'muon');
        // Each by itself: a launch binds what it writes once, and all directions lie in one buffer.
        for (const [i, { name, parameter, gradient }] of together.entries()) {
          const buffer = this.stateOf(name, 'momentum', parameter);
          const moving = { buffer, gradient, result: directions.select(0, i) };
          dispatchSets('momentum', momentumAccess, [moving], [factor, skip], ([set], [f, s]) =>
            launchMomentum(set!, { factor: f!, skip: s! }, momentum, device.traits),
          );
        }
        const updates = orthogonalized(directions, this.tiny!);
        const stepping = together.map(({ parameter }, i) => ({ parameter, update: updates.select(0, i) }));
        dispatchSets('update', updateAccess, stepping, [skip], (sets, [s]) =>
          launchUpdate(sets, s!, settings, device.traits),
        );
      });
    }
  }
}

/** Elements of a stack: matrices that alone fill a GPU gain nothing from others beside them, and each takes memory. */
export const mostStacked = 1 << 22;

/** Matrices of one shape together, so that their products are one. */
function stacksOf(parameters: readonly MovingParameter[]): MovingParameter[][] {
  const byShape = new Map<string, MovingParameter[]>();
  for (const moving of parameters) {
    const key = shapeText(moving.parameter.shape);
    const others = byShape.get(key);
    if (others) others.push(moving);
    else byShape.set(key, [moving]);
  }
  return [...byShape.values()].flatMap((alike) => {
    const count = Math.max(1, Math.floor(mostStacked / alike[0]!.parameter.size));
    return Array.from({ length: Math.ceil(alike.length / count) }, (_, i) =>
      alike.slice(i * count, (i + 1) * count),
    );
  });
}

function updateScale([rows, columns]: readonly [number, number]): number {
  return iteratedFactor * Math.sqrt(Math.max(1, rows / columns));
}

/**
 * Matrices with the singular vectors of those of `x`, `[matrices, rows, columns]`, and singular values near
 * 1 / {@link iteratedFactor}.
 */
function orthogonalized(x: Tensor, tiny: Tensor): Tensor {
  const { device } = x;
  const [, rows, columns] = x.shape as [number, number, number];
  const tall = rows > columns;
  let y = divide(tall ? x.transpose() : x, norms(x, tiny));
  // Every iteration leaves its linear term's factor out, so that what is added to a product needs none.
  for (let factor = 1, i = 0; i < iterations; i++, factor *= linearTerm) {
    y = device.scope(() => {
      const square = matmul(y, y.transpose(), { scale: (cubicTerm / linearTerm) * factor ** 2 });
      const scale = (quinticTerm * linearTerm) / cubicTerm ** 2;
      const combined = matmul(square, square, { scale, residual: square });
      return matmul(combined, y, { residual: y });
    });
  }
  return contiguous(tall ? y.transpose() : y);
}

/** Frobenius norms of matrices, `[matrices, 1, 1]`. */
function norms(x: Tensor, tiny: Tensor): Tensor {
  const flat = x.reshape([x.shape[0]!, -1]);
  return sqrt(add(sum(multiply(flat, flat), [1]), tiny)).reshape([-1, 1, 1]);
}
