/** Work on many tensors in few launches. */
import { type Access, type Launch, type Operand, setsPerLaunch } from '../../kernels/index.js';
import { inParts } from '../splitting.js';
import type { Tensor } from '../tensor.js';
import { dispatch } from './operation.js';

/**
 * Launches over sets of tensors, those of a set dense and of one size: as lists, in parts that fit bindings, as many to a
 * launch as may be bound. Sets that are alike in types are taken in their order.
 * @param access what the kernel does with the tensors of a set, in the order of its bindings
 * @param shared tensors that are bound after the sets
 * @param build makes the launch over what is bound
 */
export function dispatchSets<Name extends string>(
  operation: string,
  access: Readonly<Record<Name, Access>>,
  sets: readonly Readonly<Record<Name, Tensor>>[],
  shared: readonly Tensor[],
  build: (sets: readonly Readonly<Record<Name, Operand>>[], shared: readonly Operand[]) => Launch,
): void {
  const names = Object.keys(access) as Name[];
  const named = <Value>(values: readonly Value[]): Readonly<Record<Name, Value>> =>
    Object.fromEntries(names.map((name, i) => [name, values[i]!])) as Record<Name, Value>;
  const alongAll = named(names.map(() => 0));
  const parts: Readonly<Record<Name, Tensor>>[] = [];
  for (const set of sets) {
    const flat = named(names.map((name) => set[name].reshape([set[name].size])));
    if (flat[names[0]!].size === 0) continue;
    inParts(
      flat,
      () => [alongAll],
      (part) => void parts.push(part),
    );
  }
  const [first] = parts;
  if (!first) return;
  const { device } = first[names[0]!];
  const most = Math.max(1, Math.floor((device.traits.maxBoundTensors - shared.length) / names.length));
  const launches = setsPerLaunch(parts, most).flatMap((own) =>
    liesApart(own, access) ? [own] : own.map((set) => [set]),
  );
  for (const own of launches) {
    const tensors = own.flatMap((set) => names.map((name) => set[name]));
    dispatch(operation, device, [...tensors, ...shared], (operands) => {
      const given = own.map((_, i) => named(operands.slice(i * names.length, (i + 1) * names.length)));
      return build(given, operands.slice(tensors.length));
    });
  }
}

/** Whether no set changes a buffer that another set sees too: bound whole, as most are, it could not be in one launch. */
function liesApart<Name extends string>(
  sets: readonly Readonly<Record<Name, Tensor>>[],
  access: Readonly<Record<Name, Access>>,
): boolean {
  const names = Object.keys(access) as Name[];
  const written = names.filter((name) => access[name] !== 'read');
  const changed = new Set(sets.flatMap((set) => written.map((name) => set[name].buffer)));
  const seen = sets
    .flatMap((set) => names.map((name) => set[name].buffer))
    .filter((buffer) => changed.has(buffer));
  return seen.length === sets.length * written.length && changed.size === seen.length;
}
