import { tmpdir } from 'node:os';

/** The environment for commands that open an adapter: Mesa up to 23 complains where this folder is not named. */
export function quietEnvironment() {
  return process.platform === 'linux' ? { XDG_RUNTIME_DIR: tmpdir(), ...process.env } : process.env;
}
