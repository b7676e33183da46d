import { launchMomentum, launchUpdate } from '../../kernels/index.js';
import { EngineError } from '../errors.js';
import { add, contiguous, divide, sqrt } from '../operations/elementwise.js';
import { fill } from '../operations/fill.js';
import { matmul } from '../operations/matmul.js';
import { dispatch } from '../operations/operation.js';
import { sum } from '../operations/rows.js';
import { squareSums } from '../operations/square_sum.js';
import { shapeText } from '../shape.js';
import { type Tensor, allocate } from '../tensor.js';
import type { GradientControl } from './gradient_control.js';
import { type OptimizedGroup, Optimizer, inFlatParts } from './optimizer.js';

export interface MuonOptions {
  /** Default 0.95. */
  readonly momentum?: number;
}

/** Coefficients of the quintic iteration, and how often it is applied (Jordan et al., 2024). */
const [linearTerm, cubicTerm, quinticTerm] = [3.4445, -4.775, 2.0315];
const iterations = 5;
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
    name: string,
    parameter: Tensor,
    gradient: Tensor,
    { learningRate, weightDecay }: OptimizedGroup,
    { factor, skip }: GradientControl,
  ): void {
    const { device } = parameter;
    const [rows, columns] = parameter.shape as [number, number];
    const buffer = this.stateOf(name, 'momentum', parameter);
    const direction = allocate(device, 'f32', parameter.shape, 'muon');
    inFlatParts({ buffer, gradient, direction }, (parts) => {
      const operands = [parts.buffer, parts.gradient, parts.direction, factor, skip];
      dispatch('momentum', device, operands, ([b, g, d, f, s]) =>
        launchMomentum(
          { buffer: b!, gradient: g!, result: d!, factor: f!, skip: s! },
          this.momentum,
          device.traits,
        ),
      );
    });
    const update = orthogonalized(direction, this.tiny!);
    const scale = iteratedFactor * Math.sqrt(Math.max(1, rows / columns));
    const settings = { learningRate, weightDecay, scale };
    inFlatParts({ parameter, update }, (parts) =>
      dispatch('update', device, [parts.parameter, parts.update, skip], ([p, u, s]) =>
        launchUpdate({ parameter: p!, update: u!, skip: s! }, settings, device.traits),
      ),
    );
  }
}

/** A matrix with the singular vectors of `x` and singular values near 1 / {@link iteratedFactor}. */
function orthogonalized(x: Tensor, tiny: Tensor): Tensor {
  const { device } = x;
  const [rows, columns] = x.shape as [number, number];
  const tall = rows > columns;
  let y = divide(tall ? x.transpose() : x, norm(x, tiny));
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

function norm(x: Tensor, tiny: Tensor): Tensor {
  const squares = squareSums([x]);
  return sqrt(add(squares.size > 1 ? sum(squares, [0]) : squares, tiny));
}
