/** The report's curves as numbers. */
import type { TrainingHistory, ValidationResults } from './history.js';
import type { Spread, StepGroup } from './step_group.js';

/** A curve; null where there is no finite value. */
export interface ChartSeries {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** Least and most of the steps that a point stands for; left out where each is one step. */
  readonly least?: readonly (number | null)[];
  readonly most?: readonly (number | null)[];
}

export interface Chart {
  readonly title: string;
  /** Follows the values; may be empty. */
  readonly unit: string;
  readonly steps: readonly number[];
  readonly series: readonly ChartSeries[];
  /** Whether a logarithmic scale is worth offering. */
  readonly logarithmic: boolean;
}

const significantDigits = 6;
/** More sets than that are not told apart in one chart: only all together are drawn. */
const mostSets = 12;

/** All charts that have something to show. */
export function chartsOf(history: TrainingHistory): Chart[] {
  const { groups, validations } = history;
  const steps = groups.map(({ lastStep }) => lastStep);
  const areGroups = groups.some((group) => group.steps > 1);
  const curve = (label: string, pick: (group: StepGroup) => Spread | undefined): ChartSeries => {
    const spreads = groups.map(pick);
    return {
      label,
      values: spreads.map((spread) => rounded(spread?.mean)),
      ...(areGroups && {
        least: spreads.map((spread) => rounded(spread?.least)),
        most: spreads.map((spread) => rounded(spread?.most)),
      }),
    };
  };
  const plain = (label: string, pick: (group: StepGroup) => number): ChartSeries => ({
    label,
    values: groups.map((group) => rounded(pick(group))),
  });
  const chart = (
    title: string,
    unit: string,
    series: readonly ChartSeries[],
    logarithmic = false,
  ): Chart => ({
    title,
    unit,
    steps,
    series: series.filter(({ values }) => values.some((value) => value !== null)),
    logarithmic,
  });
  return [
    chart(
      'Loss',
      '',
      [
        curve('visual branch', (group) => group.visualLoss),
        curve('cross branch', (group) => group.crossLoss),
        curve('total', (group) => group.loss),
      ],
      true,
    ),
    accuracyChart(validations),
    chart('Learning rate', '', learningRates(history, curve)),
    chart('Gradient norm before clipping', '', [curve('gradient norm', (group) => group.gradientNorm)], true),
    chart('Speed', ' images/s', [plain('images/s', (group) => group.imagesPerSecond)]),
    chart('Waiting for data', ' %', [plain('part of the time', (group) => 100 * group.waiting)]),
    chart('Compute', ' TFLOP/s', [plain('TFLOP/s', (group) => group.flopsPerSecond / 1e12)]),
    chart('Device memory', ' GB', [plain('peak of a step', (group) => group.peakBytes / 1e9)]),
  ].filter(({ series }) => series.length > 0);
}

/** Groups of parameters with the same rates share a curve. */
function learningRates(
  { groups, lastStep }: TrainingHistory,
  curve: (label: string, pick: (group: StepGroup) => Spread | undefined) => ChartSeries,
): ChartSeries[] {
  const members = new Map<string, { series: ChartSeries; numbers: number[] }>();
  for (const index of lastStep?.learningRates.keys() ?? []) {
    const key = JSON.stringify(groups.map((group) => group.learningRate(index)?.mean));
    const same = members.get(key);
    if (same) same.numbers.push(index + 1);
    else members.set(key, { series: curve('', (group) => group.learningRate(index)), numbers: [index + 1] });
  }
  return [...members.values()].map(({ series, numbers }) => ({
    ...series,
    label: `group${numbers.length > 1 ? 's' : ''} ${numbers.join(', ')}`,
  }));
}

function accuracyChart(validations: readonly ValidationResults[]): Chart {
  const names = [...new Set(validations.flatMap(({ sets }) => sets.map(({ name }) => name)))];
  const each = names.length < 2 || names.length > mostSets ? [] : names;
  return {
    title: 'Accuracy',
    unit: ' %',
    steps: validations.map(({ step }) => step),
    logarithmic: false,
    series:
      validations.length === 0
        ? []
        : [
            { label: 'all sets', values: validations.map(({ combined }) => rounded(combined.accuracy)) },
            ...each.map((name) => ({
              label: name,
              values: validations.map(({ sets }) => rounded(sets.find((set) => set.name === name)?.accuracy)),
            })),
          ],
  };
}

function rounded(value: number | undefined): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(significantDigits));
}
