/** Reverse mode: gradients go back through what was recorded, newest first. */
import { type Draws, noteDraws, repeatDraws } from './draws.js';
import { EngineError, ShapeError } from './errors.js';
import { GradientParts } from './gradient_parts.js';
import {
  GraphNode,
  type GradientSink,
  type OperationOrigin,
  isRecording,
  lastNodeId,
  noGrad,
  withGrad,
} from './graph.js';
import { KeptValues } from './kept_values.js';
import { add, copyInto } from './operations/elementwise.js';
import { fill } from './operations/fill.js';
import { describe } from './operations/operation.js';
import { shapeText } from './shape.js';
import type { Tensor, TensorDevice } from './tensor.js';

/** Nodes that gradients have reached, to be taken by falling number: all that use a node come before it. */
class Frontier implements GradientSink {
  private readonly nodes: GraphNode[] = [];
  private readonly parts = new Map<GraphNode, GradientParts>();

  /** Nodes up to number `floor` belong to another pass, whose sink is `outer`. */
  constructor(
    private readonly device: TensorDevice,
    private readonly floor = 0,
    private readonly outer?: GradientSink,
  ) {}

  at(node: GraphNode): ReturnType<GradientSink['at']> {
    if (this.outer && node.id <= this.floor) return this.outer.at(node);
    const known = this.parts.get(node);
    if (known) return known;
    const parts = new GradientParts(this.device, node.target);
    this.parts.set(node, parts);
    let [low, high] = [0, this.nodes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.nodes[middle]!.id < node.id) low = middle + 1;
      else high = middle;
    }
    this.nodes.splice(low, 0, node);
    return parts;
  }

  /** Sends everything on until nothing is left. */
  drain(): void {
    try {
      for (let node = this.nodes.pop(); node; node = this.nodes.pop()) {
        const gradient = this.parts.get(node)!.take();
        this.parts.delete(node);
        try {
          this.device.scope(() => this.pass(node, gradient));
        } finally {
          gradient.dispose();
        }
      }
    } finally {
      for (const parts of this.parts.values()) parts.dispose();
    }
  }

  private pass(node: GraphNode, gradient: Tensor): void {
    const { origin } = node;
    if (origin.kind === 'view') {
      this.at(origin.base).receiveFromView(origin.step, gradient);
    } else if (origin.kind === 'operation') {
      if (node.spent) {
        throw new EngineError(
          `backward: gradients already went through ${node.name}; run it again for others`,
        );
      }
      const gradients = origin.gradients(gradient, this);
      origin.inputs.forEach((input, i) => {
        const part = gradients[i];
        if (input && part) this.at(input).receive(part);
      });
      node.spent = true;
      origin.release();
    } else {
      const before = origin.gradient;
      origin.gradient = this.device.keep(before ? add(before, gradient) : ownCopy(gradient));
      before?.dispose();
    }
  }
}

/** A dense tensor that nobody else looks into: the given one where that is so. */
function ownCopy(gradient: Tensor): Tensor {
  const alone = gradient.contiguous && !gradient.shared && gradient.bytes > gradient.buffer.bytes / 2;
  if (alone) return gradient.detach();
  const copy = gradient.device.empty(gradient.dtype, gradient.shape);
  copyInto(gradient, copy);
  return copy;
}

/**
 * Adds to the gradient of every tensor that requires one and that `loss` was computed from. What was kept for the
 * gradients alone is freed as they pass; tensors that a scope or a variable still holds are not, so a model's own scope
 * around its layers saves memory. After an error some tensors may have got their gradient: clear them.
 * @param loss a single number, unless `gradient` is given
 * @param gradient of whatever is to be minimised with respect to `loss`, of its shape
 * @throws EngineError where nothing led to `loss` that requires a gradient, or when gradients went back already
 */
export function backward(loss: Tensor, gradient?: Tensor): void {
  const { device, node } = loss;
  if (!node) {
    throw new EngineError(
      `backward: ${describe(loss)} was not computed from any tensor with requireGradient(), or within noGrad`,
    );
  }
  if (!gradient && loss.size !== 1) {
    throw new ShapeError(`backward: ${describe(loss)} is not a single number; give its gradient, or sum it`);
  }
  if (gradient && shapeText(gradient.shape) !== shapeText(loss.shape)) {
    throw new ShapeError(`backward: the gradient ${describe(gradient)} does not fit ${describe(loss)}`);
  }
  if (gradient && gradient.device !== device) {
    throw new ShapeError(
      `backward: the gradient ${describe(gradient)} and the loss lie on different devices`,
    );
  }
  noGrad(() =>
    device.scope(() => {
      const frontier = new Frontier(device);
      frontier.at(node).receive(gradient ?? fill(device.empty('f32', loss.shape), 1));
      frontier.drain();
    }),
  );
}

/** Collects gradients in the type that they are wanted in, which for an f16 copy of an f32 tensor is f32. */
function leafOf(tensor: Tensor, node: GraphNode | undefined): Tensor {
  if (!node) return tensor;
  return tensor
    .detach()
    .recordAs(new GraphNode('checkpoint', node.target, { kind: 'leaf', gradient: undefined }));
}

/**
 * Runs work without keeping what its gradients need; it runs again when gradients come back (Chen et al., Training
 * Deep Nets with Sublinear Memory Cost). Must give the same result both times.
 * @param inputs at least one; tensors that gradients go through; tensors that require gradients by themselves, as parameters, need
 *   not be named
 */
export function checkpoint(
  work: (...inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
): Tensor {
  if (!isRecording()) return work(...inputs);
  const [first] = inputs;
  if (!first) throw new EngineError('checkpoint: needs at least one input tensor');
  const { device } = first;
  const draws: Draws = [];
  const result = noGrad(() => noteDraws(draws, () => device.scope(() => work(...inputs).detach())));
  const kept = new KeptValues(
    'checkpoint',
    inputs.map((input) => device.keep(input.detach())),
  );
  const nodes = inputs.map(({ node }) => node);
  const origin: OperationOrigin = {
    kind: 'operation',
    inputs: nodes,
    gradients(gradient, sink) {
      kept.check();
      const floor = lastNodeId();
      const leaves = kept.tensors.map((tensor, i) => leafOf(tensor, nodes[i]));
      const again = withGrad(() => repeatDraws(draws, () => work(...leaves)));
      if (!again.node) return [];
      const frontier = new Frontier(device, floor, sink);
      frontier.at(again.node).receive(gradient);
      frontier.drain();
      return leaves.map((leaf) => {
        const own = leaf.gradient?.detach();
        leaf.clearGradient();
        return own;
      });
    },
    release() {
      kept.dispose();
    },
  };
  const { dtype, shape } = result;
  return result.recordAs(new GraphNode('checkpoint', { dtype, shape }, origin));
}
