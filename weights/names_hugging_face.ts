/** Names of Hugging Face's CLIPModel: the attention's input projection in three parts, projections transposed. */
import type { Recipe } from './recipe.js';

/** Parts of a name and what the original calls them, applied in order. */
const RENAMES: readonly (readonly [RegExp, string])[] = [
  [/^vision_model\.embeddings\.class_embedding$/, 'visual.class_embedding'],
  [/^vision_model\.embeddings\.patch_embedding\./, 'visual.conv1.'],
  [/^vision_model\.embeddings\.position_embedding\.weight$/, 'visual.positional_embedding'],
  // Misspelt in Hugging Face's code, and hence in every file.
  [/^vision_model\.pre_layrnorm\./, 'visual.ln_pre.'],
  [/^vision_model\.post_layernorm\./, 'visual.ln_post.'],
  [/^vision_model\.encoder\.layers\./, 'visual.transformer.resblocks.'],
  [/^text_model\.embeddings\.token_embedding\./, 'token_embedding.'],
  [/^text_model\.embeddings\.position_embedding\.weight$/, 'positional_embedding'],
  [/^text_model\.final_layer_norm\./, 'ln_final.'],
  [/^text_model\.encoder\.layers\./, 'transformer.resblocks.'],
  [/(\.resblocks\.\d+)\.layer_norm([12])\./, '$1.ln_$2.'],
  [/(\.resblocks\.\d+)\.mlp\.fc1\./, '$1.mlp.c_fc.'],
  [/(\.resblocks\.\d+)\.mlp\.fc2\./, '$1.mlp.c_proj.'],
  [/(\.resblocks\.\d+)\.self_attn\.out_proj\./, '$1.attn.out_proj.'],
];

const TRANSPOSED: Readonly<Record<string, string>> = {
  'visual_projection.weight': 'visual.proj',
  'text_projection.weight': 'text_projection',
};

const QUERY = /\.self_attn\.q_proj\.(weight|bias)$/;
const KEY_OR_VALUE = /\.self_attn\.[kv]_proj\.(weight|bias)$/;

/** @param names stored names by unwrapped name */
export function huggingFaceRecipes(names: ReadonlyMap<string, string>): Map<string, Recipe> {
  const recipes = new Map<string, Recipe>();
  for (const [name, stored] of names) {
    const transposed = Object.hasOwn(TRANSPOSED, name) ? TRANSPOSED[name] : undefined;
    if (transposed) {
      recipes.set(transposed, { kind: 'transposed', stored });
    } else if (QUERY.test(name)) {
      const parts = ['q', 'k', 'v'].map((part) => names.get(name.replace('.q_proj.', `.${part}_proj.`)));
      const present = parts.filter((part) => part !== undefined);
      // With a part missing nothing is merged, so that the check of the model lists what is not there.
      if (present.length === 3) {
        recipes.set(rename(name.replace(QUERY, '.attn.in_proj_$1')), { kind: 'stacked', stored: present });
      }
    } else if (!KEY_OR_VALUE.test(name)) {
      recipes.set(rename(name), { kind: 'stacked', stored: [stored] });
    }
  }
  return recipes;
}

function rename(name: string): string {
  return RENAMES.reduce((renamed, [pattern, original]) => renamed.replace(pattern, original), name);
}
