/** The ways to compute the gradients of attention and the problems and adapters each is for. */
import { attentionKind } from './attention.js';
import {
  type AttentionBackwardProblem,
  type AttentionBackwardVariant,
  type BackwardLayout,
  backwardLaunch,
} from './attention_backward.js';
import { type MatrixLayout, type MatrixTile, matrixDefines, matrixLayouts } from './attention_units.js';
import type { AdapterTraits } from './kernel.js';
import type { VariantFamily } from './variant.js';

/** From the most work a byte loaded to the least workgroup memory; own rows pass through that of two blocks of met ones. */
const matrixTiles: readonly MatrixTile[] = [
  { rows: 32, met: 32 },
  { rows: 32, met: 16 },
  { rows: 16, met: 16 },
];

/** With fewer rows tiles are mostly empty. */
const fewestRows = 16;

/**
 * The layout for units for matrices, if the adapter has any that heads so wide can be cut for.
 * @param rows of a head that workgroups share out
 */
function matrixLayout(rows: number, width: number, traits: AdapterTraits): MatrixLayout | undefined {
  if (!traits.matrixUnits?.attendBackward) return undefined;
  const layouts = matrixLayouts(matrixTiles, width, traits, ({ rows: own, met }) => {
    // With the padding of the shader; two operands are met, and make two products and the factors of two sums.
    const halves = met * (width + 8) + own * (met + 8);
    return 2 * (2 * halves + 4 * own * (met + 4));
  });
  return layouts.find((layout) => layout.rows <= rows) ?? layouts.at(-1);
}

/** Whether units for matrices compute the gradients of attention of heads so wide, if it is of f16. */
export function attendsBackwardByMatrixUnits(width: number, traits: AdapterTraits): boolean {
  return matrixLayout(fewestRows, width, traits) !== undefined;
}

/** Units for matrices of f16. Weights and the slopes of scores are rounded to f16 as well, all sums are f32. */
const matrix: AttentionBackwardVariant = {
  name: 'attention_backward_matrix',
  byMatrixUnits: true,
  canApply({ query, key, value, outputGradient }, traits) {
    const narrow = [query, key, value, outputGradient].every(({ dtype }) => dtype === 'f16');
    return narrow && key.shape[2]! > 0 && attendsBackwardByMatrixUnits(query.shape[3]!, traits);
  },
  suits: ({ query, key }) => Math.min(query.shape[2]!, key.shape[2]!) >= fewestRows,
  launch(step, problem, traits) {
    const { query, key } = problem;
    const ownRows = (step === 'key_value' ? key : query).shape[2]!;
    const layout = matrixLayout(ownRows, query.shape[3]!, traits)!;
    const { rows, met } = layout;
    const [kernel, tokens] =
      step === 'statistics' ? ['attention_statistics_matrix', Math.max(rows, met)] : [this.name, 2 * met];
    return backwardLaunch(
      step,
      {
        kernel,
        own: rows,
        defines: { ...matrixDefines(layout, traits.matrixUnits!), MET: met, TOKENS: tokens },
        features: ['subgroups', 'chromium_experimental_subgroup_matrix'],
      },
      problem,
      traits,
    );
  },
};

const broadcast: AttentionBackwardVariant = {
  name: 'attention_backward_broadcast',
  canApply({ query }, { software, subgroupSize }) {
    return software && [4, 8, 16].includes(subgroupSize) && query.shape[3]! <= 128;
  },
  launch(step, problem, traits) {
    const lanes = traits.subgroupSize;
    const chunks = Math.ceil(problem.query.shape[3]! / 4 / lanes);
    // With more rows a met one is used more often, but they fit no register and take longer to compile.
    const groups = step === 'statistics' && chunks <= 2 ? 2 : 1;
    const layout: BackwardLayout = {
      kernel: step === 'statistics' ? 'attention_statistics_broadcast' : this.name,
      own: groups * lanes,
      defines: { LANES: lanes, CHUNKS: chunks },
      features: ['subgroups'],
    };
    return backwardLaunch(step, layout, problem, traits);
  },
};

const tile: AttentionBackwardVariant = {
  name: 'attention_backward_tile',
  canApply: () => true,
  launch(step, problem, traits) {
    const layout: BackwardLayout = {
      kernel: step === 'statistics' ? 'attention_statistics_tile' : this.name,
      own: 32,
      defines: { CHUNKS: Math.ceil(problem.query.shape[3]! / 32) },
    };
    return backwardLaunch(step, layout, problem, traits);
  },
};

export const attentionBackwardFamily: VariantFamily<AttentionBackwardProblem, AttentionBackwardVariant> = {
  name: 'attention_backward',
  variants: [matrix, broadcast, tile],
  kindOf: ({ query, key, causal }) => attentionKind(query, key, causal),
};
