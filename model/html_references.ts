import { decodeHTML } from 'entities/decode';

/**
 * Resolves HTML character references once, as Python's `html.unescape` does: names without a semicolon where HTML 5 allows
 * them (`&amp`, and `&not` at the start of `&notanentity;`), and references to control characters resolve to nothing.
 */
export function resolveReferences(text: string): string {
  return text.replace(
    /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g,
    (reference, body: string) => {
      if (!body.startsWith('#')) return decodeHTML(reference);
      const digits = body.slice(1).replace(';', '');
      const codePoint = /^[xX]/.test(digits) ? parseInt(digits.slice(1), 16) : parseInt(digits, 10);
      return isDropped(codePoint) ? '' : decodeHTML(`&${body.replace(';', '')};`);
    },
  );
}

/** References that Python drops: control characters and noncharacters, save those HTML 5 maps to something else. */
function isDropped(codePoint: number): boolean {
  const isControl =
    (codePoint >= 0x1 && codePoint <= 0x8) ||
    codePoint === 0xb ||
    (codePoint >= 0xe && codePoint <= 0x1f) ||
    codePoint === 0x7f;
  const isNoncharacter =
    (codePoint >= 0xfdd0 && codePoint <= 0xfdef) ||
    (codePoint <= 0x10ffff && (codePoint & 0xfffe) === 0xfffe);
  return isControl || isNoncharacter;
}

/**
 * Resolves terminated references as ftfy does, which also knows names written in upper case (`&EACUTE;`) where HTML gives
 * them no meaning of their own.
 */
export function resolveTerminatedReferences(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    const resolved = resolveReferences(reference);
    if (resolved !== reference || reference !== reference.toUpperCase()) return resolved;
    const lowerCased = reference.toLowerCase();
    const resolvedLowerCased = resolveReferences(lowerCased);
    return resolvedLowerCased === lowerCased ? reference : resolvedLowerCased.toUpperCase();
  });
}
