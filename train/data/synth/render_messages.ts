/** What `render_words.ts` and its threads tell each other. */
import type { ImageFormat } from './labelled_folder.js';
import type { SynthesisMaterial } from './material.js';

export interface RenderSetup {
  readonly material: SynthesisMaterial;
  readonly seed: number;
  readonly format: ImageFormat;
  /** Of JPEG files, 1 to 100. */
  readonly quality: number;
}

/** Images that are rendered together: numbers `first` to `first + count - 1`; nothing where the thread is to end. */
export type RenderRequest = { readonly first: number; readonly count: number } | undefined;

export interface RenderedWord {
  readonly image: Uint8Array<ArrayBuffer>;
  readonly label: string;
}

export type RenderReply =
  | { readonly kind: 'rendered'; readonly first: number; readonly words: readonly RenderedWord[] }
  | { readonly kind: 'failed'; readonly message: string };
