/** Ways to do one kind of work, and which of them is taken. */
import type { AdapterTraits } from './kernel.js';

/** A way to do one kind of work. */
export interface Variant<Problem> {
  readonly name: string;
  /** Whether it computes by units for small matrices, so that a device tries it before it trusts them. */
  readonly byMatrixUnits?: boolean;
  /** Whether it does the problem on such an adapter. */
  canApply(problem: Problem, traits: AdapterTraits): boolean;
  /** Whether it is expected to be the fastest of those that apply. Default: it is, unless one before it is too. */
  suits?(problem: Problem, traits: AdapterTraits): boolean;
}

/** All ways to do one kind of work. */
export interface VariantFamily<Problem, Way extends Variant<Problem> = Variant<Problem>> {
  readonly name: string;
  /** In the order in which they are tried; the last one does anything on any adapter. */
  readonly variants: readonly Way[];
  /** What the fastest way depends on, beside the adapter: types, layouts, sizes to the nearest power of two. */
  kindOf(problem: Problem): string;
}

/** Names of the variants that were measured to be the fastest on a device, by {@link choiceKey}. */
export type VariantChoices = ReadonlyMap<string, string>;

/** What a choice among a family's variants is kept by. */
export function choiceKey<Problem>(family: VariantFamily<Problem>, problem: Problem): string {
  return `${family.name} ${family.kindOf(problem)}`;
}

/** The variant that was measured to be the fastest for such a problem, else the one that is expected to be. */
export function chooseVariant<Problem, Way extends Variant<Problem>>(
  family: VariantFamily<Problem, Way>,
  problem: Problem,
  { traits, choices }: { readonly traits: AdapterTraits; readonly choices?: VariantChoices },
): Way {
  const { variants } = family;
  const applies = (variant: Way): boolean => variant.canApply(problem, traits);
  const measured = choices?.size ? choices.get(choiceKey(family, problem)) : undefined;
  const tuned = variants.find((variant) => variant.name === measured && applies(variant));
  return tuned ?? variants.find((variant) => applies(variant) && (variant.suits?.(problem, traits) ?? true))!;
}

/** Sizes to the nearest power of two, as kinds of problems name them. */
export function roughSizes(sizes: Readonly<Record<string, number>>): string {
  return Object.entries(sizes)
    .map(([name, size]) => `${name} ${size === 0 ? 0 : 2 ** Math.round(Math.log2(size))}`)
    .join(' ');
}
