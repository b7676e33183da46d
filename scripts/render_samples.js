// Draws the demo's sample images and their labels into samples/. The images are committed; this script says how they
// were made. It needs the fonts it names (Debian: fonts-dejavu fonts-lato fonts-roboto-slab fonts-lobstertwo
// fonts-comfortaa fonts-bebas-neue).
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const folder = fileURLToPath(new URL('../samples/', import.meta.url));

/**
 * One word a row: the file, what is written, the size of the image in pixels, and the SVG that fills it. `after`
 * changes the finished picture the way a camera would.
 */
const SAMPLES = [
  {
    file: 'market.png',
    text: 'MARKET',
    size: [192, 56],
    svg: (word) => `<rect width="100%" height="100%" fill="#f4f1ea"/>
      <text x="96" y="42" font-family="DejaVu Sans" font-weight="bold" font-size="38" text-anchor="middle" fill="#1c1c1c">${word}</text>`,
  },
  {
    file: 'garden.png',
    text: 'Garden',
    size: [180, 60],
    svg: (word) => `<rect width="100%" height="100%" fill="#2f5d3a"/>
      <text x="90" y="43" font-family="DejaVu Serif" font-weight="bold" font-size="40" text-anchor="middle" fill="#f6efd8">${word}</text>`,
  },
  {
    file: 'hotel.png',
    text: 'HOTEL',
    size: [176, 64],
    svg: (
      word,
    ) => `<defs><linearGradient id="wall" x2="0" y2="1"><stop stop-color="#c8202c"/><stop offset="1" stop-color="#8e1019"/></linearGradient></defs>
      <rect width="100%" height="100%" fill="url(#wall)"/><rect x="4" y="4" width="168" height="56" rx="8" fill="none" stroke="#ffd84a" stroke-width="3"/>
      <text x="88" y="47" font-family="Lato" font-weight="900" font-size="44" letter-spacing="2" text-anchor="middle" fill="#ffe27a">${word}</text>`,
  },
  {
    file: 'coffee.jpg',
    text: 'Coffee',
    size: [208, 72],
    svg: (word) => `<rect width="100%" height="100%" fill="#5b3a26"/>
      <text x="107" y="53" font-family="Roboto Slab" font-weight="bold" font-size="50" text-anchor="middle" fill="#20120a" opacity="0.7">${word}</text>
      <text x="104" y="50" font-family="Roboto Slab" font-weight="bold" font-size="50" text-anchor="middle" fill="#f7e6cf">${word}</text>`,
  },
  {
    file: 'exit.png',
    text: 'EXIT',
    size: [150, 60],
    svg: (word) => `<rect width="100%" height="100%" fill="#0b7a43"/>
      <text x="75" y="45" font-family="Lato" font-weight="900" font-size="44" letter-spacing="4" text-anchor="middle" fill="#ffffff">${word}</text>`,
  },
  {
    file: 'number.png',
    text: '2047',
    size: [140, 60],
    svg: (word) => `<rect width="100%" height="100%" fill="#f3c622"/>
      <text x="70" y="46" font-family="DejaVu Sans" font-weight="bold" font-size="44" text-anchor="middle" fill="#161616">${word}</text>`,
  },
  {
    file: 'station.jpg',
    text: 'STATION',
    size: [232, 64],
    svg: (word) => `<rect width="100%" height="100%" fill="#1d3f8f"/>
      <g transform="rotate(-4 116 32)"><text x="116" y="46" font-family="Lato" font-weight="bold" font-size="42" text-anchor="middle" fill="#fdfdfd">${word}</text></g>`,
    after: (image) => image.blur(0.7),
  },
  {
    file: 'music.png',
    text: 'Music',
    size: [168, 72],
    svg: (
      word,
    ) => `<defs><linearGradient id="sky" x2="1" y2="1"><stop stop-color="#6a3fb5"/><stop offset="1" stop-color="#e0588e"/></linearGradient></defs>
      <rect width="100%" height="100%" fill="url(#sky)"/>
      <text x="84" y="52" font-family="Comfortaa" font-weight="bold" font-size="48" text-anchor="middle" fill="#ffffff" stroke="#2a1450" stroke-width="6" stroke-linejoin="round" paint-order="stroke">${word}</text>`,
  },
  {
    file: 'bakery.jpg',
    text: 'Bakery',
    size: [190, 74],
    svg: (word) => `<rect width="100%" height="100%" fill="#efe2c6"/>
      <text x="95" y="53" font-family="Lobster Two" font-weight="bold" font-size="54" text-anchor="middle" fill="#8a2b2b">${word}</text>`,
  },
  {
    file: 'parking.jpg',
    text: 'PARKING',
    size: [96, 30],
    svg: (word) => `<rect width="100%" height="100%" fill="#eceff2"/>
      <text x="48" y="22" font-family="DejaVu Sans" font-weight="bold" font-size="18" text-anchor="middle" fill="#1a4fa0">${word}</text>`,
    after: (image) => image.blur(0.6),
  },
  {
    file: 'street.jpg',
    text: 'STREET',
    size: [208, 72],
    svg: (word) => `<rect width="100%" height="100%" fill="#3a3f44"/>
      <g transform="matrix(1 0.07 -0.15 1 6 -9)"><text x="104" y="60" font-family="Bebas Neue" font-weight="bold" font-size="64" letter-spacing="3" text-anchor="middle" fill="#f0f0e8">${word}</text></g>`,
    grain: 22,
  },
  {
    file: 'ocean.png',
    text: 'OCEAN',
    size: [190, 84],
    svg: (word) =>
      `<rect width="100%" height="100%" fill="#0e6f8c"/>${arched(word, { centre: [95, 186], radius: 132, stepDegrees: 14.5, style: 'font-family="Lato" font-weight="900" font-size="40" fill="#e9fbff"' })}`,
  },
  {
    file: 'night.jpg',
    text: 'Night',
    size: [150, 56],
    svg: (word) => `<rect width="100%" height="100%" fill="#23262f"/>
      <text x="75" y="40" font-family="DejaVu Serif" font-style="italic" font-size="38" text-anchor="middle" fill="#5d6474">${word}</text>`,
    after: (image) => image.blur(1.1),
    grain: 14,
  },
];

/** Sets the letters of a word one by one along a circle, its middle on top. */
function arched(word, { centre: [x, y], radius, stepDegrees, style }) {
  return [...word]
    .map((letter, index) => {
      const angle = (index - (word.length - 1) / 2) * stepDegrees;
      return `<text transform="rotate(${angle} ${x} ${y})" x="${x}" y="${y - radius}" text-anchor="middle" ${style}>${letter}</text>`;
    })
    .join('');
}

/** Adds the grain of a dim photograph; the same numbers on every run. */
async function withGrain(image, strength) {
  // Through PNG: the pipeline's own raw output after a blur is not plain 8-bit RGB.
  const drawn = sharp(await image.png().toBuffer());
  const { data, info } = await drawn.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  let state = 12345;
  for (let index = 0; index < data.length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[index] = Math.min(255, Math.max(0, data[index] + (state / 2 ** 32 - 0.5) * 2 * strength));
  }
  return sharp(data, { raw: info });
}

for (const { file, text, size, svg, after, grain } of SAMPLES) {
  const [width, height] = size;
  const source = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${svg(text)}</svg>`;
  let image = sharp(Buffer.from(source)).removeAlpha();
  if (after !== undefined) image = after(image);
  if (grain !== undefined) image = await withGrain(image, grain);
  await (file.endsWith('.jpg') ? image.jpeg({ quality: 80 }) : image.png()).toFile(`${folder}${file}`);
}
writeFileSync(`${folder}labels.tsv`, SAMPLES.map(({ file, text }) => `${file}\t${text}\n`).join(''));
