/** The part of TensorFlow.js that is used. */

export interface TensorFlowTensor {
  data(): Promise<Float32Array | Int32Array>;
  dispose(): void;
}

export type TensorFlowTensors = Readonly<Record<string, TensorFlowTensor>>;

type Operand = TensorFlowTensor | number;
type Binary = (a: Operand, b: Operand) => TensorFlowTensor;
type Unary = (x: TensorFlowTensor) => TensorFlowTensor;
type Reduction = (x: TensorFlowTensor, axis: number, keepDimensions?: boolean) => TensorFlowTensor;

export interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  removeBackend(name: string): void;
  backend(): object;
  env(): { set(flag: string, value: boolean): void };
  /** Frees all that a function makes, except what it returns. */
  tidy<T extends TensorFlowTensor | TensorFlowTensors>(call: () => T): T;
  /** Gradients of all arguments, given that of the result. */
  grads(
    call: (...xs: TensorFlowTensor[]) => TensorFlowTensor,
  ): (xs: readonly TensorFlowTensor[], resultGradient: TensorFlowTensor) => TensorFlowTensor[];
  tensor(
    values: Float32Array | Int32Array,
    shape: readonly number[],
    dtype: 'float32' | 'int32',
  ): TensorFlowTensor;
  zeros(shape: readonly number[]): TensorFlowTensor;
  ones(shape: readonly number[]): TensorFlowTensor;
  matMul(
    a: TensorFlowTensor,
    b: TensorFlowTensor,
    transposeA: boolean,
    transposeB: boolean,
  ): TensorFlowTensor;
  readonly fused: {
    matMul(options: {
      readonly a: TensorFlowTensor;
      readonly b: TensorFlowTensor;
      readonly transposeA: boolean;
      readonly transposeB: boolean;
      readonly bias?: TensorFlowTensor;
    }): TensorFlowTensor;
  };
  readonly losses: {
    softmaxCrossEntropy(
      labels: TensorFlowTensor,
      logits: TensorFlowTensor,
      weights: undefined,
      smoothing: number,
      reduction: number,
    ): TensorFlowTensor;
  };
  readonly Reduction: { readonly NONE: number };
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly erf: Unary;
  readonly rsqrt: Unary;
  readonly sigmoid: Unary;
  readonly softmax: Unary;
  readonly sum: Reduction;
  readonly mean: Reduction;
  readonly argMax: Reduction;
  moments(
    x: TensorFlowTensor,
    axis: number,
    keepDimensions: boolean,
  ): { readonly mean: TensorFlowTensor; readonly variance: TensorFlowTensor };
  dropout(x: TensorFlowTensor, rate: number): TensorFlowTensor;
  gather(table: TensorFlowTensor, index: TensorFlowTensor): TensorFlowTensor;
  oneHot(index: TensorFlowTensor, classes: number): TensorFlowTensor;
}
