import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * A value that belongs to a piece of work and follows it across every `await`, so that works which run at the same time
 * each see their own. For Node; bundlers for browsers take `async_context_browser.ts`.
 */
export class AsyncContext<T> {
  private readonly storage = new AsyncLocalStorage<T>();

  get(): T | undefined {
    return this.storage.getStore();
  }

  run<R>(value: T, work: () => R): R {
    return this.storage.run(value, work);
  }
}
