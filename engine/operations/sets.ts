/** Work on many tensors in few launches. */
import { type Launch, type Operand, setsPerLaunch } from '../../kernels/index.js';
import { inParts } from '../splitting.js';
import type { Tensor } from '../tensor.js';
import { dispatch } from './operation.js';

/**
 * Launches over sets of tensors, those of a set dense and of one size: as lists, in parts that fit bindings, as many to a
 * launch as may be bound.
 * @param written names of the tensors that change
 * @param shared tensors that are bound after the sets
 * @param build makes the launch over what is bound
 */
export function dispatchSets<Name extends string>(
  operation: string,
  sets: readonly Readonly<Record<Name, Tensor>>[],
  written: readonly NoInfer<Name>[],
  shared: readonly Tensor[],
  build: (sets: readonly Readonly<Record<Name, Operand>>[], shared: readonly Operand[]) => Launch,
): void {
  const [first] = sets;
  if (!first) return;
  const names = Object.keys(first) as Name[];
  const { device } = first[names[0]!];
  const named = <Value>(values: readonly Value[]): Readonly<Record<Name, Value>> =>
    Object.fromEntries(names.map((name, i) => [name, values[i]!])) as Record<Name, Value>;
  const parts: Readonly<Record<Name, Tensor>>[] = [];
  for (const set of sets) {
    const flat = named(names.map((name) => set[name].reshape([set[name].size])));
    const alongAll = Object.fromEntries(names.map((name) => [name, 0]));
    inParts(
      flat,
      () => [alongAll],
      (part) => void parts.push(part),
    );
  }
  const most = Math.max(1, Math.floor((device.traits.maxBoundTensors - shared.length) / names.length));
  const launches = setsPerLaunch(parts, most).flatMap((own) =>
    liesApart(own, written) ? [own] : own.map((set) => [set]),
  );
  for (const own of launches) {
    const tensors = own.flatMap((set) => names.map((name) => set[name]));
    dispatch(operation, device, [...tensors, ...shared], (operands) => {
      const given = own.map((_, i) => named(operands.slice(i * names.length, (i + 1) * names.length)));
      return build(given, operands.slice(tensors.length));
    });
  }
}

/** Whether no set changes a buffer that another set sees too: WebGPU allows that to no launch, wherever in the buffer it is. */
function liesApart<Name extends string>(
  sets: readonly Readonly<Record<Name, Tensor>>[],
  written: readonly Name[],
): boolean {
  const changed = new Set(sets.flatMap((set) => written.map((name) => set[name].buffer)));
  const seen = sets.flatMap((set) => Object.values<Tensor>(set)).filter(({ buffer }) => changed.has(buffer));
  return seen.length === sets.length * written.length && changed.size === seen.length;
}
