/** Facts of this machine that decide how it gets a graphics driver. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { type MachineFacts, parseOsRelease } from './driver_plan.js';

const aptFolder = '/etc/apt/sources.list.d';

export function machineFacts(): MachineFacts {
  return {
    platform: process.platform,
    osRelease: textOf('/etc/os-release'),
    isRoot: process.getuid?.() === 0,
    hasSudo: spawnSync('sudo', ['-V'], { stdio: 'ignore' }).status === 0,
    sources: ['/etc/apt/sources.list', ...aptFiles()].map(textOf).filter((text) => text !== ''),
  };
}

/** Name of the system as its makers write it. */
export function systemName(): string {
  const name = parseOsRelease(textOf('/etc/os-release')).get('PRETTY_NAME');
  return `${process.platform} ${process.arch}${name === undefined ? '' : `, ${name}`}`;
}

function aptFiles(): string[] {
  if (!existsSync(aptFolder)) return [];
  return readdirSync(aptFolder)
    .filter((name) => /\.(list|sources)$/.test(name))
    .map((name) => `${aptFolder}/${name}`);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
