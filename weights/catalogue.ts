/** Published checkpoints. Every address is the one its authors give; their names carry the first digits of SHA-256. */

export interface PublishedCheckpoint {
  /** What the command line calls it. */
  readonly name: string;
  readonly description: string;
  readonly url: string;
  /** In the cache. */
  readonly fileName: string;
  /** First hexadecimal digits of the file's SHA-256, or all 64. */
  readonly sha256: string;
}

const CLIP4STR = 'https://github.com/VamosC/CLIP4STR/releases/download/1.0.0';
const CLIP4STR_RBU = 'https://huggingface.co/mzhaoshuai/CLIP4STR/resolve/main';
const PARSEQ = 'https://github.com/baudm/parseq/releases/download/v1.0.0';
const OPENAI = 'https://openaipublic.azureedge.net/clip/models';

function entry(
  name: string,
  description: string,
  folder: string,
  fileName: string,
  sha256: string,
): PublishedCheckpoint {
  return { name, description, url: `${folder}/${fileName}`, fileName, sha256 };
}

/** OpenAI's addresses have the digest as a folder. */
function openAi(name: string, description: string, fileName: string, sha256: string): PublishedCheckpoint {
  return entry(name, description, `${OPENAI}/${sha256}`, fileName, sha256);
}

export const CATALOGUE: readonly PublishedCheckpoint[] = [
  entry(
    'clip4str-base',
    'CLIP4STR-B/16, trained on Real (3.3M)',
    CLIP4STR,
    'clip4str_base16x16_d70bde1f2d.ckpt',
    'd70bde1f2d',
  ),
  entry(
    'clip4str-base-synth',
    'CLIP4STR-B/16, trained on MJ+ST',
    CLIP4STR,
    'clip4str_base16x16_synth_a5e3386222.ckpt',
    'a5e3386222',
  ),
  entry(
    'clip4str-base-rbu',
    'CLIP4STR-B/16, CLIP of DataComp-1B, trained on RBU (6.5M)',
    CLIP4STR_RBU,
    'clip4str_base_6e9fe947ac.pt',
    '6e9fe947ac',
  ),
  entry(
    'clip4str-large-rbu',
    'CLIP4STR-L/14, CLIP of DataComp-1B, trained on RBU (6.5M)',
    CLIP4STR_RBU,
    'clip4str_large_3c9d881b88.pt',
    '3c9d881b88',
  ),
  entry(
    'clip4str-huge-laion-rbu',
    'CLIP4STR-H/14, CLIP of LAION-2B, trained on RBU (6.5M)',
    CLIP4STR_RBU,
    'clip4str_huge_5eef9f86e2.pt',
    '5eef9f86e2',
  ),
  entry(
    'clip4str-huge-rbu',
    'CLIP4STR-H/14, CLIP of DFN-5B, trained on RBU (6.5M)',
    CLIP4STR_RBU,
    'clip4str_huge_3e942729b1.pt',
    '3e942729b1',
  ),
  entry('parseq', 'PARSeq-S', PARSEQ, 'parseq-bb5792a6.pt', 'bb5792a6'),
  entry(
    'parseq-tiny',
    'PARSeq-Ti',
    PARSEQ,
    'parseq_tiny-e7a21b54.pt',
    'e7a21b543c98e67414a584c93b1dbb71c26e9463ae4aaa391d54e833660a4711',
  ),
  entry(
    'parseq-patch16-224',
    'PARSeq-S, 224x224 images in 16x16 patches',
    PARSEQ,
    'parseq_small_patch16_224-fcf06f5a.pt',
    'fcf06f5a',
  ),
  openAi(
    'clip-vit-b32',
    "OpenAI's CLIP ViT-B/32",
    'ViT-B-32.pt',
    '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af',
  ),
  openAi(
    'clip-vit-b16',
    "OpenAI's CLIP ViT-B/16",
    'ViT-B-16.pt',
    '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f',
  ),
  openAi(
    'clip-vit-l14',
    "OpenAI's CLIP ViT-L/14",
    'ViT-L-14.pt',
    'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836',
  ),
];

/** @throws Error that lists the known names. */
export function findPublished(name: string): PublishedCheckpoint {
  const found = CATALOGUE.find((published) => published.name === name);
  if (found) return found;
  const known = CATALOGUE.map((published) => published.name).join(', ');
  throw new Error(`${JSON.stringify(name)} is no published checkpoint; known are ${known}`);
}
