/**
 * As `async_context.ts`, for browsers, which cannot follow work across an `await` yet: the value holds until the work's
 * promise settles, for everything that runs meanwhile. Asynchronous scopes must not overlap with other work there.
 */
export class AsyncContext<T> {
  private readonly values: T[] = [];

  get(): T | undefined {
    return this.values.at(-1);
  }

  run<R>(value: T, work: () => R): R {
    this.values.push(value);
    const end = (): void => {
      this.values.splice(this.values.lastIndexOf(value), 1);
    };
    let result: R;
    try {
      result = work();
    } catch (error) {
      end();
      throw error;
    }
    if (result instanceof Promise) return result.finally(end) as R;
    end();
    return result;
  }
}
