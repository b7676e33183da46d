import { distance } from 'fastest-levenshtein';

/**
 * The option that was most likely meant: the one whose dotted name, or whose last part alone, takes the fewest
 * changes.
 */
export function nearestOption(wanted: string, options: Iterable<string>): string {
  // Distances take the product of the lengths: what is far too long is near to nothing anyway.
  const name = wanted.slice(0, 100);
  const changes = (option: string): number =>
    Math.min(distance(name, option), distance(lastPart(name), lastPart(option)));
  return [...options].reduce((best, option) => {
    const difference = changes(option) - changes(best) || distance(name, option) - distance(name, best);
    return difference < 0 ? option : best;
  });
}

function lastPart(option: string): string {
  return option.slice(option.lastIndexOf('.') + 1);
}
