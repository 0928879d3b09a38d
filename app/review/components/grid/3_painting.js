// From what is known to what is seen. A verdict repaints its own tile and the bar, nothing else.

let root = null; // the shadow root of the mounted desk
let shown = null; // the page on screen
let status = {}; // the newest word of the server

const find = (selector) => root.querySelector(selector);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Only pictures that the server made itself: a data address of an image, whatever the data says. */
function picture(address, alt) {
  return typeof address === "string" && address.startsWith("data:image/")
    ? make("img", { src: address, alt, draggable: "false", decoding: "async" })
    : make("span", { class: "none", text: "no picture" });
}

function paintPage() {
  const desk = find(".desk");
  desk.dataset.state = shown ? "page" : "waiting";
  find(".bar").hidden = !shown;
  find(".empty").hidden = Boolean(shown);
  find(".references").replaceChildren();
  find(".tiles").replaceChildren();
  const { before = "", name = "", after = "" } = shown?.question ?? {};
  find("#question .before").textContent = before;
  find("#question .name").textContent = shownName(name);
  find("#question .after").textContent = after;
  find(".run").textContent = shown ? `run ${shown.run_id}` : "";
  if (!shown) {
    find(".empty").textContent = status.none_left ?? "The next page is being made ready …";
    find(".counts").textContent = "";
    return;
  }
  if (shown.references.length) {
    const images = shown.references.map((address, index) =>
      picture(address, `Trusted image ${index + 1} of ${shownName(name)}`));
    find(".references").append(make("span", { class: "word", text: "Trusted:" }), ...images);
  }
  find(".tiles").append(...shown.tiles.map(makeTile));
  shown.tiles.forEach((_, index) => paintTile(index));
  paintBar();
}

function makeTile(tile, index) {
  const frame = make("div", { class: "picture" }, picture(tile.picture, ""));
  if (tile.flags.length) frame.append(make("span", { class: "flag", text: tile.flags.map(shownName).join(", ") }));
  const caption = make("div", { class: "caption" }, make("span", { class: "mark" }));
  if (tile.noise_probability !== null)
    caption.append(make("span", {
      class: "doubt", text: `${Math.round(tile.noise_probability * 100)} %`, title: "probability that the category is wrong",
    }));
  return make("div", { class: "tile", role: "option", id: `tile-${index}`, "data-index": index, "data-sample": tile.sample_id, tabindex: "-1" }, frame, caption);
}

function paintTile(index) {
  const tile = shown.tiles[index];
  const verdict = verdictOf(shown, tile);
  const own = shown.own.has(tile.sample_id);
  const element = find(".tiles").children[index];
  element.dataset.action = verdict.action;
  element.toggleAttribute("data-own", own);
  element.tabIndex = index === shown.cursor ? 0 : -1;
  element.setAttribute("aria-selected", String(shown.anchor !== null && targets(shown).includes(tile)));
  element.querySelector(".mark").textContent = `${LOOKS[verdict.action].icon} ${wordOf(verdict)}`;
  const doubt = tile.noise_probability === null ? "" : `, ${Math.round(tile.noise_probability * 100)} % likely wrong`;
  const word = verdict.action === "relabel" ? `relabel to ${wordOf(verdict)}` : wordOf(verdict);
  element.setAttribute("aria-label",
    `Image ${index + 1} of ${shown.tiles.length}, ${tile.name}: ${word}${own ? "" : ", set beforehand"}${doubt}`);
}

function paintBar() {
  const tile = shown.tiles[shown.cursor];
  const range = shown.anchor === null ? 0 : targets(shown).length;
  find(".about-title").textContent = range ? `Range of ${range} images.` : tile.name;
  find(".about-text").textContent = range ? "The next verdict goes to all of them; Esc ends the range." : tile.explanation;
  find(".likely").replaceChildren(...tile.likely.slice(0, 9).map((category, index) =>
    make("button", { type: "button", "data-key": index + 1 }, make("kbd", { text: index + 1 }), ` ${shownName(category)}`)));
  const suggestion = suggestionOf(shown, tile);
  find(".suggestion").textContent = `${LOOKS[suggestion.action].icon} Suggestion: ${wordOf(suggestion)}`;
  const counts = countVerdicts(shown);
  find(".counts").textContent = Object.entries(counts).filter(([, number]) => number)
    .map(([action, number]) => `${LOOKS[action].icon} ${number} ${action}`).join("  ·  ");
}

function paintSaving() {
  if (!root?.host?.isConnected) return;
  const { text, late } = savingWords();
  const line = find(".saving");
  line.textContent = text;
  line.classList.toggle("late", late);
}

function say(text) {
  find(".said").textContent = text;
}
