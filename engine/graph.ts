/** How tensors came about, recorded so that gradients can go back. Knows tensors as a type alone. */
import { AsyncContext } from './async_context.js';
import type { Tensor } from './tensor.js';

/** A free view, as gradients see it. */
export type ViewStep =
  | { readonly kind: 'reshape' }
  | { readonly kind: 'permute'; readonly order: readonly number[] }
  | { readonly kind: 'expand' }
  | { readonly kind: 'slice'; readonly axis: number; readonly start: number; readonly end: number };

/** What gradients of an operand must look like. */
export interface GradientTarget {
  readonly dtype: Tensor['dtype'];
  readonly shape: readonly number[];
}

/** A tensor that gradients are collected for. */
interface LeafOrigin {
  readonly kind: 'leaf';
  /** Sum of all gradients since it was last taken away. */
  gradient: Tensor | undefined;
}

interface ViewOrigin {
  readonly kind: 'view';
  readonly base: GraphNode;
  readonly step: ViewStep;
}

export interface OperationOrigin {
  readonly kind: 'operation';
  readonly inputs: readonly (GraphNode | undefined)[];
  /** Gradients of the inputs from that of the result. What other nodes get by the way goes to the sink. */
  gradients(gradient: Tensor, sink: GradientSink): readonly (Tensor | undefined)[];
  /** Frees what was kept for the gradients. */
  release(): void;
}

/** Where gradients are collected on their way back. */
export interface GradientSink {
  at(node: GraphNode): {
    /** Adds a gradient of the whole tensor. */
    receive(gradient: Tensor): void;
    /** Adds a gradient of what a view of the tensor shows. */
    receiveFromView(step: ViewStep, gradient: Tensor): void;
  };
}

let created = 0;

/**
 * A recorded tensor. Nodes are numbered as they are made, so whatever uses one has a higher number. A node lives as
 * long as a tensor or a later node refers to it; then what it kept for gradients is freed.
 */
export class GraphNode {
  readonly id = ++created;
  /** Whether gradients went through it already, and what they need was freed. */
  spent = false;
  private references = 0;

  constructor(
    readonly name: string,
    readonly target: GradientTarget,
    readonly origin: LeafOrigin | ViewOrigin | OperationOrigin,
  ) {
    for (const node of this.before()) node.references++;
  }

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    const released: GraphNode[] = [this];
    for (let node = released.pop(); node; node = released.pop()) {
      node.references--;
      if (node.references > 0) continue;
      if (node.origin.kind === 'operation') node.origin.release();
      if (node.origin.kind === 'leaf') node.origin.gradient?.dispose();
      released.push(...node.before());
    }
  }

  private before(): readonly GraphNode[] {
    const { origin } = this;
    if (origin.kind === 'leaf') return [];
    return origin.kind === 'view' ? [origin.base] : origin.inputs.filter((input) => input !== undefined);
  }
}

/** Number of the node made last. */
export const lastNodeId = (): number => created;

const silence = new AsyncContext<boolean>();

/** Runs work that records nothing for gradients, however long it takes. */
export const noGrad = <T>(work: () => T): T => silence.run(true, work);

/** Runs work that records again, within work that does not. @internal */
export const withGrad = <T>(work: () => T): T => silence.run(false, work);

/** Whether anything is recorded now. */
export const isRecording = (): boolean => silence.get() !== true;

/** Whether an operation on these tensors is to be recorded. */
export function isRecorded(tensors: readonly (Tensor | undefined)[]): boolean {
  return isRecording() && tensors.some((tensor) => tensor?.node !== undefined);
}
