import { cpus } from 'node:os';
import type { Device } from '../../engine/index.js';

/** What figures were measured on. */
export interface Machine {
  readonly adapter: string;
  readonly backend: string;
  readonly driver: string;
  readonly cpu: string;
  readonly node: string;
  /** Versions of the package `webgpu`, and of this one. */
  readonly webgpu: string;
  readonly version: string;
}

export function machineOf({ adapter, info }: Device, versions: Pick<Machine, 'webgpu' | 'version'>): Machine {
  const processors = cpus();
  return {
    adapter: adapter.name,
    backend: adapter.backend,
    driver: info.description,
    cpu: `${processors.length} x ${processors[0]?.model ?? 'unknown'}`,
    node: process.version,
    ...versions,
  };
}
