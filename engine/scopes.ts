/** Deterministic freeing: tensors made inside a scope go when it ends, except those that it returns. */
import { Tensor } from './tensor.js';

export class ScopeStack {
  private readonly scopes: Set<Tensor>[] = [];

  track(tensor: Tensor): void {
    this.scopes.at(-1)?.add(tensor);
  }

  /** Takes a tensor out of every scope: from now on only `dispose` frees it. */
  release(tensor: Tensor): void {
    for (const scope of this.scopes) scope.delete(tensor);
  }

  run<T>(work: () => T): T {
    const scope = new Set<Tensor>();
    this.scopes.push(scope);
    let result: T;
    try {
      result = work();
    } catch (error) {
      this.end(scope, new Set());
      throw error;
    }
    if (result instanceof Promise) {
      const settled = result.then(
        (value: unknown) => {
          this.end(scope, tensorsIn(value));
          return value;
        },
        (error: unknown) => {
          this.end(scope, new Set());
          throw error;
        },
      );
      return settled as T;
    }
    this.end(scope, tensorsIn(result));
    return result;
  }

  private end(scope: Set<Tensor>, kept: ReadonlySet<Tensor>): void {
    this.scopes.splice(this.scopes.indexOf(scope), 1);
    for (const tensor of scope) {
      if (!kept.has(tensor)) tensor.dispose();
      else this.scopes.at(-1)?.add(tensor);
    }
  }
}

function tensorsIn(value: unknown, found = new Set<Tensor>()): Set<Tensor> {
  if (value instanceof Tensor) found.add(value);
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, found);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) tensorsIn(item, found);
  }
  return found;
}
