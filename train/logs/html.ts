/** Scripts and pictures inside HTML pages that need nothing else. */

/** JSON as the content of a script element: nothing in it can end the element. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replace(/</g, '\\u003c');
}

/** JavaScript as the content of a script element: `</script` and `<!--` occur in strings and comments alone. */
export function scriptText(code: string): string {
  return code.replace(/<(?=\/script|!--)/gi, '\\x3c');
}

/** First bytes of the images that browsers show. */
const signatures: readonly (readonly [type: string, start: RegExp])[] = [
  ['image/jpeg', /^\xff\xd8\xff/],
  ['image/png', /^\x89PNG\r\n/],
  ['image/gif', /^GIF8[79]a/],
  ['image/webp', /^RIFF.{4}WEBP/s],
  ['image/bmp', /^BM.{12}/s],
  ['image/avif', /^.{4}ftypavi[fs]/s],
];

/** An image file as a data address; undefined if it is of no type that browsers show. */
export function imageDataUri(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  const type = signatures.find(([, signature]) => signature.test(start))?.[0];
  return type && `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;
}
