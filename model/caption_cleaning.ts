import { resolveReferences, resolveTerminatedReferences } from './html_references.js';

/**
 * What CLIP's tokenizer does to text before it looks for words: repair as the Python library ftfy does it, resolve HTML
 * references twice, make each run of white space one blank, lower-case.
 *
 * Of ftfy's repairs of wrongly decoded text only the common one is made: UTF-8 read as Latin-1 or Windows-1252.
 */
export function cleanCaption(text: string): string {
  const unescaped = resolveReferences(resolveReferences(repairText(text)));
  return unescaped.replace(whiteSpace, ' ').replace(/^ | $/g, '').toLowerCase();
}

/** White space as Python sees it in text without ASCII separators: U+0085 is, the byte order mark is not. */
const whiteSpace = /(?:(?!\ufeff)\s|\x85)+/g;

/** ftfy's repairs in its order, line by line, repeated until nothing changes. */
function repairText(text: string): string {
  let mayHoldReferences = !text.includes('<');
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      mayHoldReferences &&= !line.includes('<');
      let repaired = line;
      for (let before = ''; before !== repaired;) {
        before = repaired;
        if (mayHoldReferences) repaired = resolveTerminatedReferences(repaired);
        repaired = repairs.reduce((current, repair) => repair(current), repaired);
      }
      return repaired;
    })
    .join('');
}

const repairs: readonly ((text: string) => string)[] = [
  repairDecoding,
  (text) => text.replace(/[\x80-\x9f]/g, (control) => windows1252[control.charCodeAt(0) - 0x80]!),
  (text) => text.replace(/[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, splitLigature),
  (text) => text.replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize('NFKC')),
  (text) => text.replace(/[\u02bc\u2018-\u201b]/g, "'").replace(/[\u201c-\u201f]/g, '"'),
  (text) => text.replace(/\r\n|[\r\u2028\u2029\x85]/g, '\n'),
  (text) => text.replace(/\p{Surrogate}/gu, '\ufffd'),
  (text) => text.replace(/\p{Cc}\[[\d;]*[a-zA-Z]/gu, (found) => (found.startsWith('\x1b') ? '' : found)),
  (text) => text.replace(/\p{Cc}|[\u206a-\u206f\ufeff\ufff9-\ufffc]/gu, dropControl),
  (text) => text.normalize('NFC'),
];

/** Windows-1252's characters for the bytes 0x80 to 0x9f; the five it leaves open stand for themselves. */
const windows1252 = Array.from(
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
    '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178',
);

/** The text whose UTF-8 bytes, read as Latin-1 or Windows-1252, give this one; the text itself if there is none. */
function repairDecoding(text: string): string {
  const bytes = new Uint8Array(text.length);
  let beyondAscii = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const byte = code < 0x100 ? code : windows1252.indexOf(text[index]!) + 0x80;
    if (code >= 0x100 && byte < 0x80) return text;
    beyondAscii ||= byte >= 0x80;
    bytes[index] = byte;
  }
  if (!beyondAscii) return text;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return text;
  }
}

function splitLigature(ligature: string): string {
  // Unicode's compatibility form would also turn the long s of this one into a round one.
  return ligature === '\ufb05' ? '\u017ft' : ligature.normalize('NFKC');
}

function dropControl(character: string): string {
  const isKept = '\t\n\f\r'.includes(character) || (character >= '\x80' && character <= '\x9f');
  return isKept ? character : '';
}
