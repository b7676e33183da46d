/** Gradients of one tensor as they arrive from its uses, and their sum. */
import type { GradientTarget, ViewStep } from './graph.js';
import { add, cast, contiguous, copyInto } from './operations/elementwise.js';
import { fill } from './operations/fill.js';
import { sum } from './operations/rows.js';
import { type Tensor, type TensorDevice } from './tensor.js';

type Slice = Extract<ViewStep, { kind: 'slice' }>;

interface SlicePart {
  readonly slice: Slice;
  readonly gradient: Tensor;
}

/**
 * What has arrived so far. Each part is a handle of its own, out of every scope, so that whoever gave it may dispose
 * theirs. Parts of slices wait until all are there: usually they tile the tensor, as query, key and value tile their
 * projection, and are then only copied.
 */
export class GradientParts {
  private whole: Tensor | undefined;
  private readonly slices: SlicePart[] = [];

  constructor(
    private readonly device: TensorDevice,
    private readonly target: GradientTarget,
  ) {}

  /** Adds a gradient of the whole tensor, in any float type. */
  receive(gradient: Tensor): void {
    const own = this.hold(gradient);
    if (!this.whole) {
      this.whole = own;
      return;
    }
    const before = this.whole;
    this.whole = this.device.keep(add(before, own));
    before.dispose();
    own.dispose();
  }

  /** Adds a gradient of what a view of the tensor shows. */
  receiveFromView(step: ViewStep, gradient: Tensor): void {
    if (step.kind === 'slice') {
      this.slices.push({ slice: step, gradient: this.hold(gradient) });
      return;
    }
    this.device.scope(() => this.receive(undoView(step, gradient, this.target.shape)));
  }

  /** Takes the sum out. */
  take(): Tensor {
    if (this.slices.length > 0) {
      this.device.scope(() => this.receive(joinSlices(this.device, this.target, this.slices)));
      for (const { gradient } of this.slices.splice(0)) gradient.dispose();
    }
    const { whole } = this;
    this.whole = undefined;
    return whole!;
  }

  dispose(): void {
    this.whole?.dispose();
    for (const { gradient } of this.slices) gradient.dispose();
  }

  private hold(gradient: Tensor): Tensor {
    const { dtype } = this.target;
    return this.device.keep(gradient.dtype === dtype ? gradient.detach() : cast(gradient, dtype));
  }
}

/** The gradient of a view's base, where every element of the base is seen. */
function undoView(step: Exclude<ViewStep, Slice>, gradient: Tensor, shape: readonly number[]): Tensor {
  switch (step.kind) {
    case 'reshape':
      return contiguous(gradient).reshape(shape);
    case 'permute':
      return gradient.permute(shape.map((_, d) => step.order.indexOf(d)));
    case 'expand': {
      const missing = gradient.rank - shape.length;
      const repeated = gradient.shape
        .map((_, d) => d)
        .filter((d) => d < missing || (shape[d - missing] === 1 && gradient.shape[d] !== 1));
      return contiguous(repeated.length > 0 ? sum(gradient, repeated, true) : gradient).reshape(shape);
    }
  }
}

/** Sum of gradients of slices, zero where no slice lies. */
function joinSlices(device: TensorDevice, target: GradientTarget, parts: readonly SlicePart[]): Tensor {
  const { axis } = parts[0]!.slice;
  const ordered = parts.toSorted((a, b) => a.slice.start - b.slice.start);
  const apart = ordered.every(
    ({ slice }, i) => slice.axis === axis && slice.start >= (ordered[i - 1]?.slice.end ?? 0),
  );
  const joined = device.empty(target.dtype, target.shape);
  if (!apart) {
    fill(joined, 0);
    for (const { slice, gradient } of parts) {
      const place = joined.slice(slice.axis, slice.start, slice.end);
      copyInto(add(place, gradient), place);
    }
    return joined;
  }
  let end = 0;
  const zeroUntil = (start: number): void => {
    if (start > end) fill(joined.slice(axis, end, start), 0);
  };
  for (const { slice, gradient } of ordered) {
    zeroUntil(slice.start);
    copyInto(gradient, joined.slice(axis, slice.start, slice.end));
    end = slice.end;
  }
  zeroUntil(target.shape[axis]!);
  return joined;
}
