/** How a parameter is made of stored tensors. */
export type Recipe =
  /** The tensors one below the other along the first axis; usually one. */
  | { readonly kind: 'stacked'; readonly stored: readonly string[] }
  /** A matrix that is stored transposed. */
  | { readonly kind: 'transposed'; readonly stored: string };
