/** Comparison of a checkpoint's parameters with those a model expects. */
import { CheckpointError, shownName } from './errors.js';
import type { ParameterInfo } from './parameters.js';

const MOST_LISTED = 8;

/** How a checkpoint's parameters differ from those a model expects. */
export interface ParameterDifferences {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshaped: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly expected: readonly number[];
    /** Why stored tensors do not make the parameter, as `ParameterInfo` has it. */
    readonly misfit?: string;
  }[];
}

/** @param expected shapes by canonical name */
export function parameterDifferences(
  source: {
    readonly parameters: ReadonlyMap<string, Pick<ParameterInfo, 'shape' | 'misfit'>>;
  },
  expected: ReadonlyMap<string, readonly number[]>,
): ParameterDifferences {
  return {
    missing: [...expected.keys()].filter((name) => !source.parameters.has(name)),
    unexpected: [...source.parameters.keys()].filter((name) => !expected.has(name)),
    misshaped: [...expected].flatMap(([name, shape]) => {
      const found = source.parameters.get(name);
      if (!found || (found.misfit === undefined && found.shape.join() === shape.join())) return [];
      const misfit = found.misfit === undefined ? {} : { misfit: found.misfit };
      return [{ name, shape: found.shape, expected: shape, ...misfit }];
    }),
  };
}

/** All differences in one line; empty if there are none. */
export function differencesText({ missing, unexpected, misshaped }: ParameterDifferences): string {
  const shapes = misshaped.map(({ name, shape, expected, misfit }) => {
    const found = misfit === undefined ? `is [${shape.join(',')}]` : `cannot be made: ${misfit}`;
    return `${shownName(name)} ${found}, expected [${expected.join(',')}]`;
  });
  return [
    ...listed('missing', missing.map(shownName)),
    ...listed('unexpected', unexpected.map(shownName)),
    ...listed('of another shape', shapes),
  ].join('; ');
}

/**
 * Makes sure that a file has what is to be read from it; there may be more in it.
 * @param expected shapes by canonical name
 * @param advice what to do about it, a sentence or more
 * @throws CheckpointError that lists all parameters that are missing or of another shape
 */
export function requireParameters(
  source: { readonly name: string } & Parameters<typeof parameterDifferences>[0],
  expected: ReadonlyMap<string, readonly number[]>,
  advice: string,
): void {
  const problems = differencesText({ ...parameterDifferences(source, expected), unexpected: [] });
  if (problems !== '') throw new CheckpointError(source.name, `${problems}. ${advice}`);
}

function listed(what: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  const more = items.length > MOST_LISTED ? ` and ${items.length - MOST_LISTED} more` : '';
  return [`${items.length} ${what} (${items.slice(0, MOST_LISTED).join(', ')}${more})`];
}
