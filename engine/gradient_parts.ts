/** Gradients of one tensor as they arrive from its uses, and their sum. */
import type { GradientTarget, ViewStep } from './graph.js';
import { add, cast, copyInto, reshape } from './operations/elementwise.js';
import { fill } from './operations/fill.js';
import { sum } from './operations/rows.js';
import type { Tensor, TensorDevice } from './tensor.js';

type Slice = Extract<ViewStep, { kind: 'slice' }>;

interface SlicePart {
  readonly slice: Slice;
  readonly gradient: Tensor;
}

/**
 * What has arrived so far. Each part is a handle of its own, out of every scope, so that whoever gave it may dispose
 * theirs. Parts of slices wait until all are there: usually they tile the tensor, as query, key and value tile their
 * projection, and are then only joined, without a copy where they lie side by side already.
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
    const before = this.whole;
    if (!before) {
      this.whole = this.hold(gradient);
      return;
    }
    this.whole = this.device.scope(() => this.hold(add(before, gradient)));
    before.dispose();
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
      return reshape(gradient, shape);
    case 'permute':
      return gradient.permute(shape.map((_, d) => step.order.indexOf(d)));
    case 'expand': {
      const missing = gradient.rank - shape.length;
      const repeated = gradient.shape
        .map((_, d) => d)
        .filter((d) => d < missing || (shape[d - missing] === 1 && gradient.shape[d] !== 1));
      return reshape(repeated.length > 0 ? sum(gradient, repeated, true) : gradient, shape);
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
  const lain = apart ? lieJoined(target, ordered) : undefined;
  if (lain) return lain;
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

/** What the gradients of slices are parts of, where they lie side by side in one tensor already, as attention's do. */
function lieJoined({ shape }: GradientTarget, ordered: readonly SlicePart[]): Tensor | undefined {
  const [first] = ordered as [SlicePart];
  const { axis } = first.slice;
  const { buffer, offset, strides } = first.gradient;
  let end = 0;
  const joined = ordered.every(({ slice, gradient }) => {
    const [start] = [end, (end = slice.end)];
    return (
      slice.start === start &&
      gradient.buffer === buffer &&
      gradient.offset === offset + start * strides[axis]! &&
      strides.every((stride, d) => gradient.strides[d] === stride)
    );
  });
  return joined && end === shape[axis] ? first.gradient.view(shape, strides, offset) : undefined;
}
