// What lies over the tiles: the enlarged image, the evidence, the choice of a category, the help. One at a time; Escape closes it.

let overlay = null; // null, "zoom", "evidence", "choose", "help"
let zoomedSample = null;
let evidence = null;
let returnFocus = null;

function open(name) {
  close();
  overlay = name;
  returnFocus = document.activeElement;
  find(`.${name}`).hidden = false;
}

function close() {
  if (!overlay) return;
  find(`.${overlay}`).hidden = true;
  overlay = null;
  zoomedSample = null;
  focusTile();
}

function openZoom() {
  const tile = shown.tiles[shown.cursor];
  open("zoom");
  zoomedSample = tile.sample_id;
  if (!enlarged.has(tile.sample_id)) ask({ zoom: tile.sample_id });
  paintZoom(tile);
}

function paintZoom(tile) {
  const address = enlarged.get(tile.sample_id) ?? tile.picture;
  const image = find(".zoomed");
  image.hidden = !address?.startsWith("data:image/");
  if (!image.hidden) image.src = address;
  image.alt = `Image ${tile.name}`;
  find(".zoom figcaption").textContent = `${tile.name}. ${tile.explanation}`;
}

function openEvidence() {
  const tile = shown.tiles[shown.cursor];
  open("evidence");
  if (evidence?.sample_id === tile.sample_id) paintEvidence();
  else {
    ask({ evidence: tile.sample_id });
    find(".evidence-body").replaceChildren(make("h3", { text: tile.name }), make("p", { text: "Looking it up …" }));
  }
  find(".evidence .close").focus();
}

function paintEvidence() {
  const body = find(".evidence-body");
  const parts = [make("h3", { text: evidence.title })];
  const full = picture(evidence.picture, `Image ${evidence.title}`);
  full.classList.add("full");
  parts.push(full);
  for (const sentence of evidence.sentences) parts.push(make("p", { text: sentence }));
  for (const group of evidence.groups) {
    parts.push(make("h4", { text: group.title }));
    const figures = group.images.map((near) =>
      make("figure", {}, picture(near.picture, near.caption), make("figcaption", { text: near.caption })));
    parts.push(figures.length ? make("div", { class: "near" }, ...figures) : make("p", { text: "none" }));
  }
  const facts = make("dl", { class: "facts" });
  for (const [name, value] of evidence.facts) facts.append(make("dt", { text: name }), make("dd", {}, name === "Page" ? factValue(value) : document.createTextNode(value)));
  if (evidence.facts.length) parts.push(make("h4", { text: "Where it came from" }), facts);
  body.replaceChildren(...parts);
}

/** A web address becomes a link that tells the site nothing; anything else, `javascript:` too, stays text. */
function factValue(value) {
  let address = null;
  try {
    address = new URL(value);
  } catch {
    return document.createTextNode(value);
  }
  if (address.protocol !== "https:" && address.protocol !== "http:") return document.createTextNode(value);
  return make("a", { href: address.href, target: "_blank", rel: "noopener noreferrer nofollow", referrerpolicy: "no-referrer", text: value });
}
