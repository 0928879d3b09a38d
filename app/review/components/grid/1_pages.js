// What is known of each page in this browser: its tiles, the verdicts given on it, the focused tile, the range.
// Text of categories, titles and names comes from the web: it is only ever set through textContent and attributes.

const LOOKS = {
  keep: { icon: "✓", word: "keep" },
  drop: { icon: "✕", word: "drop" },
  relabel: { icon: "→", word: "" },
  unsure: { icon: "?", word: "unsure" },
};
const pages = new Map(); // page id -> page, in the order of their arrival
const enlarged = new Map(); // sample id -> data address
const confirmed = new Set();

const shownName = (category) => String(category ?? "").replaceAll("_", " ");

function receivePage(page) {
  const known = pages.get(page.page_id);
  if (known) return known;
  page.own = new Map(); // sample id -> verdict of this annotator
  for (const tile of page.tiles) {
    // After a restart of the server the same images come on a new page: what was said of them here stands.
    const earlier = [...pages.values()].find((one) => one.own.has(tile.sample_id));
    if (earlier) page.own.set(tile.sample_id, earlier.own.get(tile.sample_id));
  }
  page.cursor = 0;
  page.anchor = null;
  pages.set(page.page_id, page);
  return page;
}

function forgetPages(kept) {
  for (const id of pages.keys()) if (!kept.includes(id)) pages.delete(id);
}

function presetOf(tile) {
  return { sample_id: tile.sample_id, action: tile.preset, category: tile.preset_category, key: "" };
}

function verdictOf(page, tile) {
  return page.own.get(tile.sample_id) ?? presetOf(tile);
}

/** What the tool proposes: its preset, or the likeliest category where that is another one. */
function suggestionOf(page, tile) {
  const [first] = tile.likely;
  if (tile.preset !== "keep" || !first || first === tile.web_category) return presetOf(tile);
  return { sample_id: tile.sample_id, action: "relabel", category: first, key: "" };
}

function categoryVerdict(tile, category) {
  const own = category === tile.web_category;
  return { sample_id: tile.sample_id, action: own ? "keep" : "relabel", category: own ? null : category, key: "" };
}

/** The tiles that the next verdict goes to: the range, or the focused one. */
function targets(page) {
  if (page.anchor === null) return page.tiles.slice(page.cursor, page.cursor + 1);
  const [low, high] = [page.anchor, page.cursor].sort((a, b) => a - b);
  return page.tiles.slice(low, high + 1);
}

function rest(page) {
  return page.tiles.filter((tile) => !page.own.has(tile.sample_id)).map(presetOf);
}

function countVerdicts(page) {
  const counts = { keep: 0, drop: 0, relabel: 0, unsure: 0 };
  for (const tile of page.tiles) counts[verdictOf(page, tile).action] += 1;
  return counts;
}

function wordOf(verdict) {
  return verdict.action === "relabel" ? shownName(verdict.category) : LOOKS[verdict.action].word;
}
