// The steps of set-up: dependencies, build, WebGPU adapter. Each one looks first and is quick when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync } from 'node:fs';
import { arch, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { dependenciesAreCurrent } from './dependencies.js';
import { quietEnvironment } from './environment.js';
import { buildIsCurrent } from './source_hash.js';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Brings the clone to where the demo and the tests run. Throws an Error whose message says what the user has to do. */
export async function setUp() {
  installDependencies();
  build();
  await ensureAdapter();
}

function installDependencies() {
  if (dependenciesAreCurrent(root)) return;
  const folder = `${root}node_modules`;
  if (existsSync(folder) && lstatSync(folder).isSymbolicLink()) {
    // npm ci would empty the folder that others may share through links of their own.
    throw new Error(
      'node_modules is a link, and what it points to does not match package-lock.json. Remove the link.',
    );
  }
  timed('Installing the dependencies (npm ci)', () => {
    const npm = process.env.npm_execpath;
    // Also where NODE_ENV or npm's settings leave out what only building and testing need.
    const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
    const result =
      npm === undefined
        ? spawnSync('npm', args, { cwd: root, encoding: 'utf8', shell: platform === 'win32' })
        : spawnSync(process.execPath, [npm, ...args], { cwd: root, encoding: 'utf8' });
    if (result.status !== 0) {
      // What follows the first lines is npm's own usage text.
      const reason = outputOf(result).split('\n').slice(0, 20).join('\n');
      throw new Error(
        `npm ci failed:\n${reason}\nCheck the network and npm's registry settings, then run this again.`,
      );
    }
  });
}

function build() {
  if (buildIsCurrent(root)) return;
  timed('Building (npm run build)', () => {
    const result = spawnSync(process.execPath, ['scripts/build.js'], { cwd: root, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`The build failed:\n${outputOf(result)}`);
  });
}

async function ensureAdapter() {
  const before = probeAdapter();
  if (before.adapter !== null) {
    console.log(`WebGPU adapter: ${before.adapter}`);
    return;
  }
  if (before.loadError !== null) {
    throw new Error(
      `The npm package webgpu cannot be loaded on ${platform} ${arch}: ${before.loadError}\n` +
        'It has builds for Linux with glibc 2.34 or later (x64, arm64), macOS and Windows.',
    );
  }

  const { planDriverInstall, shellLine } = await import('../dist/cli/driver_plan.js');
  const { machineFacts } = await import('../dist/cli/machine.js');
  const plan = planDriverInstall(machineFacts());
  const byHand = () => plan.commands.map((command) => `  ${shellLine(command)}`).join('\n');
  if (plan.kind === 'none') throw new Error(`No WebGPU adapter. ${plan.message}${indented(before.output)}`);
  if (plan.kind === 'manual') throw new Error(`${plan.message}\n${byHand()}`);

  console.log(`No WebGPU adapter was found. ${plan.message}`);
  console.log(byHand());
  timed('Running these commands', () => {
    for (const command of plan.commands) {
      const failure = runQuietly(command);
      if (failure !== null) {
        throw new Error(`${failure}\nThe driver could not be installed. By hand it is:\n${byHand()}`);
      }
    }
  });
  const after = probeAdapter();
  if (after.adapter === null) {
    throw new Error(
      `The driver is installed, and still there is no WebGPU adapter.${indented(after.output)}`,
    );
  }
  console.log(`WebGPU adapter: ${after.adapter}`);
}

/** Looks for an adapter in a process of its own, since a broken driver may take its process down with it. */
function probeAdapter() {
  const result = spawnSync(process.execPath, ['scripts/probe_adapter.js'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
    env: quietEnvironment(),
  });
  const line = result.stdout.split('\n').find((text) => text.startsWith('{'));
  const found = line === undefined ? { adapter: null, loadError: null } : JSON.parse(line);
  return { ...found, output: outputOf(result) };
}

/** Runs one command of the plan; returns null, or what went wrong. Standard error stays on the terminal for sudo. */
function runQuietly({ program, args, input }) {
  // Without a terminal nobody can type a password: let sudo fail at once instead of waiting.
  const rights = program === 'sudo' && !process.stdin.isTTY ? ['-n', ...args] : args;
  const result = spawnSync(program, rights, {
    encoding: 'utf8',
    input,
    stdio: [input === undefined ? 'inherit' : 'pipe', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  return result.status === 0 ? null : outputOf(result);
}

function outputOf({ stdout, stderr, error, signal }) {
  return [stdout, stderr, error?.message, signal && `ended by ${signal}`].filter(Boolean).join('\n').trim();
}

function indented(text) {
  return text === '' ? '' : `\n${text.replace(/^/gm, '  ')}`;
}

function timed(what, work) {
  process.stdout.write(`${what} ...`);
  const startMs = Date.now();
  let outcome = ' failed after';
  try {
    work();
    outcome = '';
  } finally {
    console.log(`${outcome} ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
  }
}
