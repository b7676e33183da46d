/**
 * Font families that suit this, by their names at Fontsource, which publishes each as an npm package that holds the font as
 * files, its licence beside them (SIL Open Font License 1.1, some Apache License 2.0). Left out are fonts of symbols, of bars
 * and of letters that are hard to tell apart.
 */

const scope = '@fontsource/';

/** Families of differing looks that come with this package, so that nothing has to be fetched. */
export const includedFamilies: readonly string[] = packages(`
  abel abril-fatface alfa-slab-one anton archivo-black bangers bebas-neue black-ops-one courier-prime
  kaushan-script limelight pacifico patrick-hand permanent-marker pt-serif questrial righteous rye special-elite
`);

/** All families that are worth fetching: sans-serif, serif, display, handwriting, monospace. */
export const recommendedFamilies: readonly string[] = packages(`
  abeezee abel aclonica acme actor alata alatsi aldrich allerta-stencil amaranth antic anton archivo-black
  archivo-narrow arimo armata average-sans b612 barlow barlow-condensed basic bebas-neue belleza cabin
  candal capriola carme carrois-gothic chau-philomene-one convergence days-one doppio-one dosis
  electrolize englebert exo-2 fira-sans fira-sans-extra-condensed fjalla-one francois-one geo gruppo
  hammersmith-one homenaje imprima inder jockey-one josefin-sans julius-sans-one kanit krona-one lato
  league-gothic league-spartan libre-franklin magra mako marmelad marvel metrophobic michroma molengo
  montserrat nunito open-sans orienta oswald pathway-gothic-one paytone-one poppins puritan quantico
  questrial quicksand rajdhani raleway rationale roboto roboto-condensed ropa-sans rubik rubik-mono-one
  ruluko russo-one seymour-one sintony six-caps source-sans-3 spinnaker strait syncopate tauri teko telex
  tenor-sans varela varela-round viga voltaire wire-one work-sans

  adamina alegreya alice amethysta antic-didone arapey arbutus arbutus-slab arvo asul balthazar belgrano
  bentham bitter bodoni-moda brawler bree-serif cambo cantata-one cinzel copse coustard crimson-text
  cutive eb-garamond esteban fauna-one fenix fjord-one gilda-display gloock graduate gupter habibi
  headland-one holtwood-one-sc im-fell-english junge libre-baskerville lora lusitana lustria maiden-orange
  marcellus merriweather montaga ovo peralta playfair-display prociono pt-serif quando roboto-slab
  rozha-one slabo-27px suez-one tinos trocchi ultra vast-shadow vidaloka young-serif zilla-slab

  abril-fatface aladin alfa-slab-one amarante audiowide bangers baumans bigshot-one black-ops-one boogaloo
  bowlby-one bowlby-one-sc bruno-ace bubblegum-sans bungee bungee-inline cabin-sketch caesar-dressing
  calistoga carter-one changa-one chango chelsea-market cherry-cream-soda chewy chicle comfortaa
  concert-one contrail-one croissant-one crushed emblema-one erica-one faster-one federant
  fontdiner-swanky freckle-face fugaz-one galindo germania-one gravitas-one griffy iceberg irish-grover
  jolly-lodger joti-one kavoon kelly-slab kranky lemon lilita-one lily-script-one limelight
  love-ya-like-a-sister luckiest-guy medievalsharp metamorphous milonga modern-antiqua new-rocker
  nova-round nova-square offside paprika passero-one patua-one pirata-one playball poiret-one poller-one
  pompiere prosto-one racing-sans-one rammetto-one ranchers ribeye righteous rye sail salsa sarina
  shojumaru sirin-stencil smythe special-elite spicy-rice squada-one staatliches stardos-stencil
  supermercado-one titan-one trade-winds unkempt vampiro-one

  arizonia berkshire-swash caveat caveat-brush clicker-script coming-soon cookie courgette
  covered-by-your-grace damion dancing-script delius eagle-lake engagement gloria-hallelujah gochi-hand
  grand-hotel handlee indie-flower kaushan-script leckerli-one montez nerko-one neucha niconne norican
  pacifico parisienne patrick-hand permanent-marker rancho rochester rock-salt sacramento satisfy
  schoolbell shadows-into-light short-stack sofia sunshiney walter-turncoat yellowtail yesteryear

  anonymous-pro courier-prime cutive-mono nova-mono oxygen-mono pt-mono share-tech-mono space-mono
`);

function packages(names: string): string[] {
  return names
    .trim()
    .split(/\s+/)
    .map((name) => scope + name);
}
