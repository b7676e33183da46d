/** Deterministic freeing: tensors made inside a scope go when it ends, except those that it returns. */
import { AsyncContext } from './async_context.js';
import { Tensor } from './tensor.js';

interface Scope {
  readonly tensors: Set<Tensor>;
  readonly outer: Scope | undefined;
}

export class Scopes {
  private readonly current = new AsyncContext<Scope>();

  track(tensor: Tensor): void {
    this.current.get()?.tensors.add(tensor);
  }

  /** Takes a tensor out of the scopes around the caller: from now on only `dispose` frees it. */
  release(tensor: Tensor): void {
    for (let scope = this.current.get(); scope; scope = scope.outer) scope.tensors.delete(tensor);
  }

  /** Runs work in a scope that ends with it, or with the promise it returns. */
  run<T>(work: () => T): T {
    const scope: Scope = { tensors: new Set(), outer: this.current.get() };
    let result: T;
    try {
      result = this.current.run(scope, work);
    } catch (error) {
      endScope(scope, undefined);
      throw error;
    }
    if (!(result instanceof Promise)) {
      endScope(scope, result);
      return result;
    }
    const settled = result.then(
      (value: unknown) => {
        endScope(scope, value);
        return value;
      },
      (error: unknown) => {
        endScope(scope, undefined);
        throw error;
      },
    );
    return settled as T;
  }
}

/** Frees the scope's tensors; those within its result move to the scope around it. */
function endScope(scope: Scope, result: unknown): void {
  const kept = tensorsIn(result);
  for (const tensor of scope.tensors) {
    if (kept.has(tensor)) scope.outer?.tensors.add(tensor);
    else tensor.dispose();
  }
}

/** Tensors of a value, an array, a Set, a Map or a plain object, nested as they like. */
function tensorsIn(value: unknown): ReadonlySet<Tensor> {
  const found = new Set<Tensor>();
  const seen = new Set<unknown>();
  const visit = (part: unknown): void => {
    if (part instanceof Tensor) found.add(part);
    if (part === null || typeof part !== 'object' || seen.has(part)) return;
    seen.add(part);
    if (Array.isArray(part) || part instanceof Set || part instanceof Map)
      part.forEach((item) => visit(item));
    else if (Object.getPrototypeOf(part) === Object.prototype) Object.values(part).forEach(visit);
  };
  visit(value);
  return found;
}
