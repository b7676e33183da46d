/**
 * Keeps waiting for Dawn from taking a processor. In Node its binding asks whether the device is done at every turn of the
 * event loop, by `setImmediate`, as long as any promise of it is pending: that is one whole core, which a software adapter
 * computes with and which threads that load data want too.
 */

const onWindows = typeof process !== 'undefined' && process.platform === 'win32';
/**
 * Milliseconds of a wait after which it no longer asks at every turn, and after which it leaves pauses to timers. It sleeps
 * between questions from the one to the other: no timer is as short. Sleeps on Windows take whole milliseconds.
 */
const [sleepsFromMs, sleepsUntilMs] = onWindows ? [2, 2] : [0.1, 30];
/** Milliseconds of a sleep at most: the thread does nothing else meanwhile. */
const mostSleepMs = 0.3;
/** What was waited is this many times a pause between questions, which takes so many milliseconds at most. */
const [waitsAPause, mostPauseMs] = [16, 10];

/** How far this has gone: another copy of this module must not wrap what is wrapped. */
const patient = Symbol.for('clip4str-engine: patient polling');

let beganMs = 0;
let sleptSoFarMs = 0;

/** Tells that a new wait begins, whatever is waited for already. */
export function beginWait(): void {
  beganMs = performance.now();
}

/** Milliseconds that this thread has slept between questions, which counts as work in what Node tells of its event loop. */
export function sleptMs(): number {
  return sleptSoFarMs;
}

/**
 * Lets the questions that Dawn asks of itself wait a little; what programs pass to `setImmediate` stays as it is. For
 * software adapters: a GPU needs no core of the host, and may be done sooner than a timer.
 */
export function pollPatiently(): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const sleep = (ms: number): void => {
    const start = performance.now();
    Atomics.wait(nobody, 0, 0, ms);
    sleptSoFarMs += performance.now() - start;
  };
  // Tests may replace the global one by a clock of their own.
  const { setTimeout } = globalThis;
  const original = globalThis.setImmediate as typeof setImmediate & { [patient]?: true };
  if (original[patient]) return;
  let asking = false;
  globalThis.setImmediate = new Proxy(original, {
    apply(target, self, [callback, ...rest]: [() => void, ...unknown[]]): unknown {
      if (rest.length > 0 || !isNativeQuestion(callback)) {
        return Reflect.apply(target, self, [callback, ...rest]);
      }
      // A question that follows no other is the first of a wait.
      if (!asking) beginWait();
      const waitedMs = performance.now() - beganMs;
      const pauseMs = Math.min(mostPauseMs, waitedMs / waitsAPause);
      const sleeps = waitedMs > sleepsFromMs && waitedMs <= sleepsUntilMs;
      const ask = (): void => {
        // Here, and not before: what has just arrived is dealt with first.
        if (sleeps) sleep(Math.min(mostSleepMs, pauseMs));
        asking = true;
        try {
          callback();
        } finally {
          asking = false;
        }
      };
      return waitedMs > sleepsUntilMs ? setTimeout(ask, pauseMs) : Reflect.apply(target, self, [ask]);
    },
    get: (target, name, self): unknown => name === patient || Reflect.get(target, name, self),
  });
}

/** Functions of native modules have no name and, unlike bound ones, a prototype. */
function isNativeQuestion(callback: unknown): boolean {
  return (
    typeof callback === 'function' &&
    callback.name === '' &&
    Object.hasOwn(callback, 'prototype') &&
    Function.prototype.toString.call(callback).endsWith('{ [native code] }')
  );
}
