/**
 * Module code for a child process: `peakRss()` is its highest resident memory in bytes. On Linux maxRSS starts at the
 * parent's; the kernel's high-water mark is the process's own.
 */
export const peakRssCode = `
  import { readFileSync } from 'node:fs';
  const peakRss = () =>
    1024 *
    (process.platform === 'linux'
      ? Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
      : process.resourceUsage().maxRSS);
`;
