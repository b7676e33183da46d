/** A curve as a picture for a page of text. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface CurveOptions {
  readonly caption: string;
  /** Points with a text beside them. */
  readonly marks?: readonly (Point & { readonly text: string })[];
}

const [width, height, margin] = [640, 260, 40];

/** An SVG of a curve, its vertical axis from 0 on. */
export function curvePicture(points: readonly Point[], { caption, marks = [] }: CurveOptions): string {
  const top = Math.ceil(Math.max(...points.map(({ y }) => y)));
  const [first, last] = [points[0]!.x, points.at(-1)!.x];
  const left = (x: number): string =>
    (margin + ((x - first) / Math.max(1, last - first)) * (width - 2 * margin)).toFixed(1);
  const up = (y: number): string => (height - margin - (y / top) * (height - 2 * margin)).toFixed(1);
  const rules = Array.from(
    { length: top + 1 },
    (_, y) =>
      `<line x1="${margin}" x2="${width - margin}" y1="${up(y)}" y2="${up(y)}" stroke="#d0d7de"/>` +
      `<text x="${margin - 8}" y="${Number(up(y)) + 4}" text-anchor="end">${y}</text>`,
  );
  const path = points.map(({ x, y }) => `${left(x)},${up(y)}`).join(' ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
      'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#57606a">',
    `<title>${caption}</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...rules,
    `<polyline points="${path}" fill="none" stroke="#0969da" stroke-width="1.5"/>`,
    ...marks.map(
      ({ x, y, text }) =>
        `<circle cx="${left(x)}" cy="${up(y)}" r="3" fill="#cf222e"/>` +
        `<text x="${left(x)}" y="${Number(up(y)) - 8}" text-anchor="middle" fill="#cf222e">${text}</text>`,
    ),
    `<text x="${margin}" y="${height - 14}">${first}</text>`,
    `<text x="${width - margin}" y="${height - 14}" text-anchor="end">${last}</text>`,
    `<text x="${width / 2}" y="${height - 14}" text-anchor="middle">${caption}</text>`,
    '</svg>',
    '',
  ].join('\n');
}
