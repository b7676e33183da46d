/** The part of jax-js that is used. An operation takes over the arrays that it is given; `ref` keeps one for more. */

export interface JaxArray {
  readonly ref: JaxArray;
  readonly dtype: string;
  add(other: JaxArray | number): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  astype(dtype: string): JaxArray;
  data(): Promise<Float32Array | Int32Array | Uint32Array>;
  /** Computes the array and gives its buffer, without waiting for the device. */
  gpuBufferSync(): GPUBuffer;
  dispose(): void;
}

type Compiled<F> = F & { dispose(): void };

export interface Jax {
  init(device: string): Promise<readonly string[]>;
  defaultDevice(device: string): unknown;
  getWebGPUDevice(): GPUDevice;
  jit<Result extends JaxArray | JaxArray[]>(
    call: (...xs: JaxArray[]) => Result,
  ): Compiled<(...xs: JaxArray[]) => Result>;
  /** The result at some point, and a function from its gradient to that of each argument. */
  vjp(
    call: (...xs: JaxArray[]) => JaxArray,
    xs: readonly JaxArray[],
  ): readonly [result: JaxArray, backward: Compiled<(resultGradient: JaxArray) => JaxArray[]>];
  readonly numpy: {
    array(
      values: Float32Array | Int32Array,
      options: { readonly shape: readonly number[]; readonly dtype: string },
    ): JaxArray;
    zeros(shape: readonly number[]): JaxArray;
    ones(shape: readonly number[]): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    matrixTranspose(a: JaxArray): JaxArray;
    argmax(a: JaxArray, axis: number): JaxArray;
    sum(a: JaxArray, axis: number): JaxArray;
    mean(a: JaxArray, axis: number): JaxArray;
    where(condition: JaxArray, x: JaxArray, y: JaxArray | number): JaxArray;
    minimum(a: JaxArray, b: JaxArray | number): JaxArray;
    negative(a: JaxArray): JaxArray;
    take(a: JaxArray, indices: JaxArray, axis: number): JaxArray;
  };
  readonly random: {
    key(seed: number): JaxArray;
    bernoulli(key: JaxArray, probability: number, shape: readonly number[]): JaxArray;
  };
  readonly nn: {
    gelu(x: JaxArray, options: { readonly approximate: boolean }): JaxArray;
    sigmoid(x: JaxArray): JaxArray;
    softmax(x: JaxArray, axis: number): JaxArray;
    logSoftmax(x: JaxArray, axis: number): JaxArray;
    oneHot(x: JaxArray, classes: number): JaxArray;
    standardize(x: JaxArray, axis: number, options: { readonly epsilon: number }): JaxArray;
    dotProductAttention(
      query: JaxArray,
      key: JaxArray,
      value: JaxArray,
      options: { readonly isCausal: boolean },
    ): JaxArray;
  };
}
