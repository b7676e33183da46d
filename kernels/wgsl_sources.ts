/**
 * The WGSL files of this folder in Node. Bundlers for browsers take `wgsl_sources.browser.js` instead (the
 * `browser` field of package.json), which the build fills with the same texts.
 */
import { readFileSync } from 'node:fs';

const texts = new Map<string, string>();

/** The text of a WGSL file of this folder. */
export function readWgsl(file: string): string {
  let text = texts.get(file);
  if (text === undefined) {
    text = readFileSync(new URL(file, import.meta.url), 'utf8');
    texts.set(file, text);
  }
  return text;
}
