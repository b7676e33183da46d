import { describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/index.js';
import { clozeMasks, permutationMasks } from '../train/masks.js';
import { type PermutationOptions, drawPermutations } from '../train/permutations.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

interface ReferenceSet {
  n: number;
  seed: number;
  perm_num?: number;
  perm_forward?: boolean;
  perm_mirrored?: boolean;
  perms: number[][];
}
const { sets } = readJsonFixture<{ sets: ReferenceSet[] }>('train/perms.json');

const original: PermutationOptions = { count: 6, forward: true, mirrored: true };

function optionsOf(set: ReferenceSet): PermutationOptions {
  return {
    count: set.perm_num ?? original.count,
    forward: set.perm_forward ?? original.forward,
    mirrored: set.perm_mirrored ?? original.mirrored,
  };
}

/** A set as text; what follows the first two does so in any order, mirrored pairs kept together. */
function familyOf(perms: readonly (readonly number[])[], { mirrored }: PermutationOptions): string {
  const rest = perms.slice(2).map((perm) => perm.join(' '));
  const units = mirrored ? rest.flatMap((perm, i) => (i % 2 ? [] : [`${perm} | ${rest[i + 1]}`])) : rest;
  return JSON.stringify([perms.slice(0, 2), units.sort()]);
}

function draws(length: number, options: PermutationOptions, count: number): number[][][] {
  const random = new RandomGenerator(length);
  return Array.from({ length: count }, () => drawPermutations(length, options, random));
}

const known = new Map<string, ReadonlySet<string>>();

/** All sets that many draws give; each kind is drawn once for all seeds of the original. */
function drawnFamilies(length: number, options: PermutationOptions): ReadonlySet<string> {
  const key = `${length} ${JSON.stringify(options)}`;
  const families =
    known.get(key) ?? new Set(draws(length, options, 6000).map((drawn) => familyOf(drawn, options)));
  known.set(key, families);
  return families;
}

/** Number of possible sets after the first two permutations, for labels whose permutations are pooled. */
function familyCount(length: number, { count, mirrored }: PermutationOptions): number {
  const orders = [1, 1, 2, 6, 24][length]!;
  const pool = (mirrored ? orders / 2 : orders) - 1;
  const drawn = Math.min(mirrored ? count / 2 : count, pool + 1) - 1;
  if (mirrored) return choose(pool, drawn);
  // The first one drawn gives way to the reverse: one is missing from each set.
  return drawn < 1 ? 1 : choose(pool, drawn - 1);
}

function choose(from: number, count: number): number {
  return count === 0 ? 1 : (choose(from - 1, count - 1) * from) / count;
}

const lengths = (least: number, most: number) => sets.filter(({ n }) => n >= least && n <= most);
const named = (cases: ReferenceSet[]) =>
  cases.map((set): [string, ReferenceSet] => [
    `${set.n} characters, seed ${set.seed}, ${JSON.stringify(optionsOf(set))}`,
    set,
  ]);

describe('permutations', () => {
  test('the fixture has all lengths', () => {
    expect(new Set(sets.map(({ n }) => n))).toEqual(new Set([1, 2, 3, 4, 5, 6]));
  });

  test.each(named(lengths(1, 2)))('%s: the very set of the original', (_, set) => {
    for (const drawn of draws(set.n, optionsOf(set), 20)) expect(drawn).toEqual(set.perms);
  });

  test.each(named(lengths(3, 4)))('%s: the sets of the original and no others', (_, set) => {
    const options = optionsOf(set);
    const families = drawnFamilies(set.n, options);
    expect(families).toContain(familyOf(set.perms, options));
    expect(families.size).toBe(familyCount(set.n, options));
  });

  test.each(named(lengths(5, 6)))('%s: as many, of the same form', (_, set) => {
    const options = optionsOf(set);
    for (const perms of [set.perms, ...draws(set.n, options, 20)]) {
      expect(perms.length).toBe(set.perms.length);
      expectForm(perms, set.n, options);
    }
  });

  test('five characters: every order is drawn', () => {
    const seen = new Set(draws(5, original, 3000).flatMap((perms) => perms.slice(2).map(String)));
    expect(seen.size).toBe(120);
  });

  test('two permutations of four characters take every pair in turn as the first without the forward one', () => {
    const options = { count: 2, forward: false, mirrored: true };
    const firsts = new Set(draws(4, options, 500).map((perms) => String(perms[0])));
    expect(firsts.size).toBe(12);
    const mirrors = [...firsts].map((first) => mirrorOf(first.split(',').map(Number)).join());
    expect(new Set([...firsts, ...mirrors]).size).toBe(24);
  });

  test('the generator alone decides', () => {
    const [first, second] = [3, 3].map((seed) => drawPermutations(12, original, new RandomGenerator(seed)));
    expect(first).toEqual(second);
    expect(first).not.toEqual(drawPermutations(12, original, new RandomGenerator(4)));
  });
});

function mirrorOf(perm: readonly number[]): number[] {
  return [0, ...perm.slice(1, -1).reverse(), perm.at(-1)!];
}

function expectForm(
  perms: readonly (readonly number[])[],
  length: number,
  options: PermutationOptions,
): void {
  const forward = Array.from({ length: length + 2 }, (_, i) => i);
  expect(perms[0]).toEqual(forward);
  if (perms.length > 1) expect(perms[1]).toEqual([0, ...forward.slice(1).reverse()]);
  for (const [index, perm] of perms.entries()) {
    expect([...perm].sort((a, b) => a - b)).toEqual(forward);
    if (index !== 1) expect([perm[0], perm.at(-1)]).toEqual([0, length + 1]);
    if (options.mirrored && index > 1 && index % 2 === 1) expect(perm).toEqual(mirrorOf(perms[index - 1]!));
  }
}

describe('masks of the original', () => {
  const hidden = (mask: Float32Array): number[] =>
    Array.from(mask, (value) => (value === -Infinity ? 1 : value));
  const files = ['fast_grads', 'p16_grads', 'fast_variant_no_forward_perm', 'fast_variant_cloze'];
  const cases = files.flatMap((file) => {
    const tensors = readTensorFixture(`train/${file}.safetensors`);
    return tensors.names
      .filter((name) => name.endsWith('perms'))
      .map((name) => ({ batch: `${file} ${name}`, tensors, prefix: name.slice(0, -'perms'.length) }));
  });

  test('there are batches of all kinds', () => {
    expect(cases.length).toBe(8);
  });

  test.each(cases)('$batch', ({ tensors, prefix }) => {
    const { shape } = tensors.get(`${prefix}perms`);
    const [count, width] = [shape[0]!, shape[1]!];
    const perms = tensors.integers(`${prefix}perms`);
    for (let index = 0; index < count; index++) {
      const { content, query, positions } = permutationMasks(perms.slice(index * width, (index + 1) * width));
      expect(positions).toBe(width - 1);
      expect(hidden(content)).toEqual(tensors.integers(`${prefix}content_mask_${index}`));
      expect(hidden(query)).toEqual(tensors.integers(`${prefix}query_mask_${index}`));
    }
  });

  test('the cloze mask hides from each character itself alone', () => {
    const { content, query, positions } = clozeMasks(3);
    expect([positions, ...hidden(query)]).toEqual([3, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    // As in the original, where both are one tensor.
    expect(content).toEqual(query);
  });
});
