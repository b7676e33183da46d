/** Comparison of a checkpoint's parameters with those a model expects. */
import { CheckpointError, shownName } from './errors.js';
import type { ParameterSource } from './parameters.js';

const MOST_LISTED = 8;

/**
 * @param expected shapes by canonical name
 * @throws CheckpointError that lists missing, unexpected and mis-shaped parameters together.
 */
export function compareParameters(
  source: Pick<ParameterSource, 'name' | 'parameters'>,
  expected: ReadonlyMap<string, readonly number[]>,
): void {
  const missing = [...expected.keys()].filter((name) => !source.parameters.has(name));
  const unexpected = [...source.parameters.keys()].filter((name) => !expected.has(name));
  const misshaped = [...expected].flatMap(([name, shape]) => {
    const found = source.parameters.get(name)?.shape;
    if (!found || found.join() === shape.join()) return [];
    return [`${shownName(name)} is [${found.join(',')}], expected [${shape.join(',')}]`];
  });
  const problems = [
    ...listed('missing', missing.map(shownName)),
    ...listed('unexpected', unexpected.map(shownName)),
    ...listed('of another shape', misshaped),
  ];
  if (problems.length > 0) {
    throw new CheckpointError(source.name, `does not fit the model: ${problems.join('; ')}`);
  }
}

function listed(what: string, items: readonly string[]): string[] {
  if (items.length === 0) return [];
  const more = items.length > MOST_LISTED ? ` and ${items.length - MOST_LISTED} more` : '';
  return [`${items.length} ${what} (${items.slice(0, MOST_LISTED).join(', ')}${more})`];
}
