import cliProgress from 'cli-progress';
import { formatBytes } from './output.js';

/** Something that shows how far a piece of work has come. */
export interface Progress {
  /** @param total undefined where it is not known */
  update(done: number, total?: number): void;
  stop(): void;
}

const silent: Progress = { update() {}, stop() {} };

/** The package's estimate is NULL where nothing is left, and INF where nothing has been done. */
function timeLeft(estimate: number, options: cliProgress.Options, multipleSeconds: number): string {
  const seconds: unknown = estimate;
  if (seconds === 'NULL') return '0s';
  return seconds === 'INF' ? '?' : cliProgress.Format.TimeFormat(estimate, options, multipleSeconds);
}

/** A bar on the standard error where that is a terminal, else nothing. It is gone when the work is done. */
export function showProgress(what: string, unit: 'bytes' | 'images' | 'rows', wanted = true): Progress {
  if (!wanted || !process.stderr.isTTY) return silent;
  let bar: cliProgress.SingleBar | undefined;
  return {
    update(done, total) {
      if (!bar) {
        const format = total === undefined ? '{value}' : '{bar} {value} of {total}, {eta_formatted} left';
        bar = new cliProgress.SingleBar(
          {
            stream: process.stderr,
            clearOnComplete: true,
            barsize: 30,
            format: `${what} ${format}`,
            formatTime: timeLeft,
            formatValue: (value, _options, type) =>
              unit === 'bytes' && (type === 'value' || type === 'total') ? formatBytes(value) : String(value),
          },
          cliProgress.Presets.shades_classic,
        );
        bar.start(total ?? 0, done);
      }
      if (total !== undefined) bar.setTotal(total);
      bar.update(done);
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}
