/** The sizes of transformer blocks at which their cost is measured: one of them grows while the others stay. */

export const axisNames = ['batch', 'tokens', 'width', 'depth'] as const;
export type AxisName = (typeof axisNames)[number];

/** Sizes of a stack of transformer blocks. */
export type BlockSizes = Readonly<Record<AxisName, number>>;

/** Width of a head, as in every CLIP. */
export const headWidth = 64;

/** Steps between powers of two, the sizes of real models, and one more than what tiles divide. */
const values: Readonly<Record<AxisName, readonly number[]>> = {
  batch: [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256],
  tokens: [8, 16, 26, 32, 33, 50, 64, 65, 77, 96, 128, 129, 197, 256, 257, 384, 512, 577, 768, 1024],
  width: [64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280],
  depth: [1, 2, 3, 4, 6, 8, 12, 16, 24],
};

/** Where the other sizes stay, and the most work that is measured: a CPU does in minutes what a GPU does in a second. */
const settings = {
  software: { base: { batch: 2, tokens: 65, width: 256, depth: 2 }, largestFlops: 1.2e10 },
  gpu: { base: { batch: 16, tokens: 197, width: 768, depth: 4 }, largestFlops: 2e12 },
} as const satisfies Record<string, { base: BlockSizes; largestFlops: number }>;

/** Multiply-adds count as two: four projections of `width`, two of four times that, and attention. */
export function forwardFlops({ batch, tokens, width, depth }: BlockSizes): number {
  return depth * batch * tokens * (24 * width * width + 4 * tokens * width);
}

/** The sizes along an axis, the smallest first. */
export function sizesAlong(axis: AxisName, software: boolean): BlockSizes[] {
  const { base, largestFlops } = settings[software ? 'software' : 'gpu'];
  return values[axis]
    .map((value) => ({ ...base, [axis]: value }))
    .filter((sizes) => forwardFlops(sizes) <= largestFlops);
}
