/**
 * Decides how a machine without a WebGPU adapter gets one. Nothing here looks at the machine or changes it: set-up
 * (`scripts/setup.js`) gathers the facts and runs the commands, `doctor` shows them, and tests cover every system.
 */

/** What is known of the machine when the plan is made. */
export interface MachineFacts {
  /** `process.platform`. */
  readonly platform: string;
  /** Text of `/etc/os-release`; empty where there is none. */
  readonly osRelease: string;
  /** Whether commands already run with root's rights. */
  readonly isRoot: boolean;
  /** Whether a `sudo` command exists. */
  readonly hasSudo: boolean;
  /** Contents of apt's source files: `/etc/apt/sources.list`, and each `.list` and `.sources` file beside it. */
  readonly sources: readonly string[];
}

/** One command, run without a shell. */
export interface DriverCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Text for the command's standard input. */
  readonly input?: string;
}

export type DriverPlan =
  /** The system's own graphics driver is all there is to have; `message` says what to check. */
  | { readonly kind: 'none'; readonly message: string }
  /** Set-up can install the driver: run `commands` in order. */
  | { readonly kind: 'install'; readonly message: string; readonly commands: readonly DriverCommand[] }
  /** Only the user can do it: `commands` are shown, `message` says why they are not run. */
  | { readonly kind: 'manual'; readonly message: string; readonly commands: readonly DriverCommand[] };

const DRIVER_PACKAGE = 'mesa-vulkan-drivers';
const BACKPORTS_FILE = '/etc/apt/sources.list.d/clip4str-backports.sources';
const DEBIAN_MIRROR = 'http://deb.debian.org/debian';
const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Package managers that set-up names but does not run: the command differs, the rest is the user's decision. */
const OTHER_DISTRIBUTIONS: readonly { ids: readonly string[]; command: DriverCommand }[] = [
  {
    ids: ['fedora', 'rhel', 'centos'],
    command: { program: 'dnf', args: ['install', '-y', DRIVER_PACKAGE] },
  },
  { ids: ['arch'], command: { program: 'pacman', args: ['-S', '--needed', 'vulkan-swrast'] } },
  {
    ids: ['opensuse', 'suse'],
    command: { program: 'zypper', args: ['install', 'libvulkan_lvp'] },
  },
];

/** Reads the `KEY=value` lines of `/etc/os-release`; quotes around values are taken off. */
export function parseOsRelease(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z0-9_]+)=(?:"(.*)"|'(.*)'|(.*?))\s*$/.exec(line);
    if (match?.[1] !== undefined) fields.set(match[1], match[2] ?? match[3] ?? match[4] ?? '');
  }
  return fields;
}

/** Decides what to do about a machine on which no adapter was found. */
export function planDriverInstall(facts: MachineFacts): DriverPlan {
  if (facts.platform === 'darwin' || facts.platform === 'win32') {
    const name = facts.platform === 'darwin' ? 'macOS (Metal)' : 'Windows (Direct3D 12)';
    return {
      kind: 'none',
      message: `${name} brings its own WebGPU adapter; none was found. Bring the system and its graphics driver up to date.`,
    };
  }
  if (facts.platform !== 'linux') {
    return {
      kind: 'none',
      message: `The npm package webgpu has no build for ${facts.platform}; it runs on Linux, macOS and Windows.`,
    };
  }

  const release = parseOsRelease(facts.osRelease);
  const id = release.get('ID') ?? '';
  const family = [id, ...(release.get('ID_LIKE') ?? '').split(/\s+/)];
  const name = release.get('PRETTY_NAME') ?? (id || 'This Linux');

  const tooOld = oldestSupported(id, release.get('VERSION_ID'));
  if (tooOld !== undefined) {
    return {
      kind: 'none',
      message: `${name} is too old for the npm package webgpu (it needs glibc 2.34). Use ${tooOld} or later.`,
    };
  }
  if (family.includes('alpine')) {
    return {
      kind: 'none',
      message: `${name} uses musl; the npm package webgpu is built for glibc only. Use a Debian, Ubuntu or Fedora system or container.`,
    };
  }
  if (family.includes('debian') || family.includes('ubuntu')) {
    return withRights(facts, aptPlan(name, release.get('VERSION_CODENAME'), facts.sources));
  }
  const other = OTHER_DISTRIBUTIONS.find(({ ids }) =>
    family.some((member) => ids.some((known) => member === known || member.startsWith(`${known}-`))),
  );
  if (other !== undefined) {
    return {
      kind: 'manual',
      message: `${name}: install the GPU's Vulkan driver, or Mesa's software Vulkan:`,
      commands: [asRoot(facts, other.command)],
    };
  }
  return {
    kind: 'none',
    message: `${name}: install the GPU's Vulkan driver, or Mesa's software Vulkan (lavapipe, Mesa 23.2 or later) with the system's package manager.`,
  };
}

/** A command as it is typed into a shell, its standard input included. */
export function shellLine(command: DriverCommand): string {
  const line = [command.program, ...command.args].map(quoted).join(' ');
  if (command.input === undefined) return line;
  return `printf '${command.input.replaceAll('%', '%%').replaceAll('\n', '\\n')}' | ${line}`;
}

function oldestSupported(id: string, version: string | undefined): string | undefined {
  const release = Number.parseFloat(version ?? '');
  if (id === 'debian' && release < 12) return 'Debian 12';
  if (id === 'ubuntu' && release < 22.04) return 'Ubuntu 22.04';
  return undefined;
}

function aptPlan(
  name: string,
  codename: string | undefined,
  sources: readonly string[],
): { message: string; commands: DriverCommand[] } {
  const update = apt('update');
  if (codename !== 'bookworm') {
    return {
      message: `Installing Mesa's software Vulkan driver (${DRIVER_PACKAGE}) from ${name}'s own packages.`,
      commands: [update, apt('install', '-y', '--no-install-recommends', DRIVER_PACKAGE)],
    };
  }
  // Dawn refuses bookworm's own Mesa 22.3: it lacks dynamic indexing of storage images.
  const entries = sources.flatMap(aptEntries);
  const install = apt('install', '-y', '--no-install-recommends', '-t', 'bookworm-backports', DRIVER_PACKAGE);
  const message = `Installing Mesa's software Vulkan driver (${DRIVER_PACKAGE}) from bookworm-backports; bookworm's own is too old for WebGPU.`;
  if (entries.some(({ suites }) => suites.includes('bookworm-backports'))) {
    return { message, commands: [update, install] };
  }
  const mirror = entries.find(({ suites }) => suites.includes('bookworm'))?.uri ?? DEBIAN_MIRROR;
  const source = [
    'Types: deb',
    `URIs: ${mirror}`,
    'Suites: bookworm-backports',
    'Components: main',
    `Signed-By: ${DEBIAN_KEYRING}`,
    '',
  ].join('\n');
  return {
    message: `${message} Adding ${BACKPORTS_FILE}.`,
    commands: [{ program: 'tee', args: [BACKPORTS_FILE], input: source }, update, install],
  };
}

function apt(verb: string, ...args: string[]): DriverCommand {
  // A fresh machine is often busy with its own first updates: wait for the lock, and never stop to ask.
  return {
    program: 'env',
    args: ['DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', verb, ...args],
  };
}

function withRights(facts: MachineFacts, plan: { message: string; commands: DriverCommand[] }): DriverPlan {
  const commands = plan.commands.map((command) => asRoot(facts, command));
  if (facts.isRoot || facts.hasSudo) return { kind: 'install', message: plan.message, commands };
  return {
    kind: 'manual',
    message: 'No WebGPU adapter, and installing one needs root (there is no sudo here). Run as root:',
    commands,
  };
}

function asRoot(facts: MachineFacts, command: DriverCommand): DriverCommand {
  if (facts.isRoot || !facts.hasSudo) return command;
  return { ...command, program: 'sudo', args: [command.program, ...command.args] };
}

/** The enabled binary entries of one apt source file, in either of apt's two formats. */
function aptEntries(text: string): { uri: string; suites: string[] }[] {
  const entries: { uri: string; suites: string[] }[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined)
      entries.push({ uri: match[1], suites: [match[2]] });
  }
  for (const stanza of text.split(/\n\s*\n/)) {
    const field = (name: string): string[] =>
      new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, 'im')
        .exec(stanza)?.[1]
        ?.split(/\s+/)
        .filter(Boolean) ?? [];
    const uri = field('URIs')[0];
    const enabled = field('Enabled')[0]?.toLowerCase() !== 'no';
    if (uri !== undefined && enabled && field('Types').includes('deb'))
      entries.push({ uri, suites: field('Suites') });
  }
  return entries;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
