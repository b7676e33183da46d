import { describe, expect, test } from '@jest/globals';
import { parseOsRelease, planDriverInstall, shellLine } from '../cli/driver_plan.js';
import type { DriverPlan, MachineFacts } from '../cli/driver_plan.js';

const DEBIAN_12 =
  'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n';
const DEBIAN_13 =
  'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n';
const DEBIAN_11 =
  'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\nID=debian\n';
const DEBIAN_SID = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME=forky\nID=debian\n';
const ubuntu = (version: string, codename: string): string =>
  `PRETTY_NAME="Ubuntu ${version} LTS"\nVERSION_ID="${version}"\nVERSION_CODENAME=${codename}\nID=ubuntu\nID_LIKE=debian\n`;
const MINT =
  'PRETTY_NAME="Linux Mint 22"\nVERSION_ID="22"\nVERSION_CODENAME=wilma\nID=linuxmint\nID_LIKE="ubuntu debian"\n';

const ONE_LINE_SOURCE = 'deb http://deb.debian.org/debian bookworm main\n';
const STANZA_SOURCE = [
  'Types: deb',
  'URIs: http://mirror.example/debian',
  'Suites: bookworm bookworm-updates',
  'Components: main',
].join('\n');

const facts = (changes: Partial<MachineFacts>): MachineFacts => ({
  platform: 'linux',
  osRelease: DEBIAN_12,
  isRoot: true,
  hasSudo: false,
  sources: [ONE_LINE_SOURCE],
  ...changes,
});
const linesOf = (plan: DriverPlan): string[] => (plan.kind === 'none' ? [] : plan.commands.map(shellLine));

const APT = 'env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300';
const OWN_PACKAGES = [`${APT} update`, `${APT} install -y --no-install-recommends mesa-vulkan-drivers`];
const BACKPORTS = [
  `${APT} update`,
  `${APT} install -y --no-install-recommends -t bookworm-backports mesa-vulkan-drivers`,
];

describe('the plan on Debian 12', () => {
  test('adds backports of the same mirror, then installs from there', () => {
    const plan = planDriverInstall(facts({ sources: ['', STANZA_SOURCE] }));
    expect(plan.kind).toBe('install');
    const [source, ...rest] = linesOf(plan);
    expect(rest).toEqual(BACKPORTS);
    expect(source).toBe(
      "printf 'Types: deb\\nURIs: http://mirror.example/debian\\nSuites: bookworm-backports\\nComponents: main\\n" +
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n' | tee /etc/apt/sources.list.d/clip4str-backports.sources",
    );
    expect(plan.message).toContain('bookworm-backports');
  });

  test('falls back to the main mirror when no source names bookworm', () => {
    expect(linesOf(planDriverInstall(facts({ sources: [] })))[0]).toContain(
      'URIs: http://deb.debian.org/debian\\n',
    );
  });

  test.each([
    ['one line', 'deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm-backports main'],
    ['a stanza', STANZA_SOURCE.replace('bookworm-updates', 'bookworm-backports')],
    [
      'a continued stanza',
      'Types: deb\nURIs: http://m/debian\nSuites: bookworm\n bookworm-backports\nComponents: main',
    ],
  ])('adds no source when backports are configured as %s', (_, source) => {
    expect(linesOf(planDriverInstall(facts({ sources: [ONE_LINE_SOURCE, source] })))).toEqual(BACKPORTS);
  });

  test.each([
    ['commented out', '# deb http://deb.debian.org/debian bookworm-backports main'],
    ['for sources only', 'deb-src http://deb.debian.org/debian bookworm-backports main'],
    ['disabled', `Enabled: no\n${STANZA_SOURCE.replace('bookworm-updates', 'bookworm-backports')}`],
    [
      'a commented stanza line',
      STANZA_SOURCE.replace('Suites: bookworm', '#Suites: bookworm-backports\nSuites: bookworm'),
    ],
  ])('adds the source when the entry for backports is %s', (_, source) => {
    expect(linesOf(planDriverInstall(facts({ sources: [source] })))).toHaveLength(3);
  });
});

describe('the plan on other systems of the family', () => {
  test.each([
    ['Debian 13', DEBIAN_13],
    ['Debian unstable', DEBIAN_SID],
    ['Ubuntu 22.04', ubuntu('22.04', 'jammy')],
    ['Ubuntu 24.04', ubuntu('24.04', 'noble')],
    ['Linux Mint', MINT],
  ])('%s installs its own driver', (_, osRelease) => {
    const plan = planDriverInstall(facts({ osRelease }));
    expect(plan.kind).toBe('install');
    expect(linesOf(plan)).toEqual(OWN_PACKAGES);
  });

  test.each([
    ['Debian 11', DEBIAN_11, 'Debian 12'],
    ['Ubuntu 20.04', ubuntu('20.04', 'focal'), 'Ubuntu 22.04'],
  ])('%s is told that it is too old', (_, osRelease, needed) => {
    const plan = planDriverInstall(facts({ osRelease }));
    expect(plan.kind).toBe('none');
    expect(plan.message).toContain(`Use ${needed} or later`);
  });
});

describe('rights', () => {
  const asUser = { isRoot: false, hasSudo: true };

  test('sudo goes before each command of a user', () => {
    const lines = linesOf(planDriverInstall(facts(asUser)));
    expect(lines[0]).toContain("' | sudo tee /etc/apt/");
    expect(lines.slice(1)).toEqual(BACKPORTS.map((line) => `sudo ${line}`));
  });

  test('root never uses sudo, even where it exists', () => {
    expect(linesOf(planDriverInstall(facts({ hasSudo: true, osRelease: DEBIAN_13 })))).toEqual(OWN_PACKAGES);
  });

  test.each([DEBIAN_12, DEBIAN_13, ubuntu('24.04', 'noble')])(
    'a user without sudo gets the commands to run',
    (osRelease) => {
      const plan = planDriverInstall(facts({ isRoot: false, osRelease }));
      expect(plan.kind).toBe('manual');
      expect(plan.message).toContain('as root');
      expect(linesOf(plan).join('\n')).not.toContain('sudo');
      expect(linesOf(plan).at(-1)).toContain('mesa-vulkan-drivers');
    },
  );

  test('other distributions are shown sudo only where it is needed and there', () => {
    const fedora = 'ID=fedora\nVERSION_ID=42\n';
    expect(linesOf(planDriverInstall(facts({ osRelease: fedora, ...asUser })))).toEqual([
      'sudo dnf install -y mesa-vulkan-drivers',
    ]);
    expect(linesOf(planDriverInstall(facts({ osRelease: fedora })))).toEqual([
      'dnf install -y mesa-vulkan-drivers',
    ]);
  });
});

describe('systems that set-up does not touch', () => {
  test.each([
    ['Fedora', 'ID=fedora\n', 'dnf install -y mesa-vulkan-drivers'],
    ['Rocky Linux', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf install -y mesa-vulkan-drivers'],
    ['Arch', 'ID=arch\n', 'pacman -S --needed vulkan-swrast'],
    ['openSUSE', 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', 'zypper install libvulkan_lvp'],
  ])('%s is told its command', (_, osRelease, command) => {
    const plan = planDriverInstall(facts({ osRelease }));
    expect(plan.kind).toBe('manual');
    expect(linesOf(plan)).toEqual([command]);
  });

  test.each([
    ['Alpine', { osRelease: 'NAME="Alpine Linux"\nID=alpine\n' }, 'musl'],
    ['an unknown Linux', { osRelease: 'ID=nixos\n' }, 'lavapipe'],
    ['a Linux without os-release', { osRelease: '' }, 'This Linux'],
    ['macOS', { platform: 'darwin', osRelease: '' }, 'Metal'],
    ['Windows', { platform: 'win32', osRelease: '' }, 'Direct3D'],
    ['FreeBSD', { platform: 'freebsd', osRelease: '' }, 'no build for freebsd'],
  ])('%s gets an explanation and no command', (_, changes, text) => {
    const plan = planDriverInstall(facts(changes));
    expect(plan.kind).toBe('none');
    expect(plan.message).toContain(text);
  });
});

test('os-release fields are read with either quotes or none', () => {
  const fields = parseOsRelease('# comment\nID=debian\nNAME="A B"\nOTHER=\'c\'\nEMPTY=\nbad line\n');
  expect([...fields]).toEqual([
    ['ID', 'debian'],
    ['NAME', 'A B'],
    ['OTHER', 'c'],
    ['EMPTY', ''],
  ]);
});

test('a shell line quotes what a shell would change', () => {
  expect(shellLine({ program: 'echo', args: ['a b', "it's", '$x'] })).toBe("echo 'a b' 'it'\\''s' '$x'");
  expect(shellLine({ program: 'tee', args: ['f'], input: '100%\n' })).toBe("printf '100%%\\n' | tee f");
});
