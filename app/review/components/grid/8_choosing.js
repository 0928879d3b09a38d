// Any category of the workspace, found by typing a part of its name: for what none of the nine likely ones shows.

const MOST_LISTED = 12; // without scrolling
let categories = []; // all names, sent once
let listed = []; // those that match what is typed
let chosen = 0; // place in `listed`

function openChooser() {
  open("choose");
  const field = find(".choose input");
  field.value = "";
  listMatches();
  field.focus();
}

/** Names that hold every word typed; those that begin with the text first, then in the order of the alphabet. */
function matching(text) {
  const words = shownName(text).toLowerCase().split(/\s+/).filter(Boolean);
  const names = categories.map((name) => ({ name, read: shownName(name).toLowerCase() }))
    .filter(({ read }) => words.every((word) => read.includes(word)));
  const first = words.join(" ");
  names.sort((a, b) => b.read.startsWith(first) - a.read.startsWith(first) || a.read.localeCompare(b.read));
  return names.map(({ name }) => name);
}

function listMatches() {
  const all = matching(find(".choose input").value);
  listed = all.slice(0, MOST_LISTED);
  chosen = 0;
  find(".choose .matches").replaceChildren(...listed.map((name, index) =>
    make("li", { role: "option", id: `match-${index}`, "data-place": index, text: shownName(name) })));
  const more = all.length - listed.length;
  find(".choose .more").textContent = listed.length ? (more ? `and ${more} more` : "") : "No category of this workspace has such a name.";
  paintChosen();
}

function paintChosen() {
  [...find(".choose .matches").children].forEach((item, index) => item.setAttribute("aria-selected", String(index === chosen)));
  find(".choose input").setAttribute("aria-activedescendant", listed.length ? `match-${chosen}` : "");
}

function choose(place) {
  const category = listed[place];
  if (category === undefined) return;
  close();
  giveVerdict((tile) => categoryVerdict(tile, category), "t");
}

function onChooserKey(event) {
  if (event.isComposing) return;
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key === "Escape") close();
  else if (event.key === "Enter") choose(chosen);
  else if (event.key in steps) {
    chosen = (chosen + steps[event.key] + listed.length) % Math.max(listed.length, 1);
    paintChosen();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function listenToChooser() {
  find(".choose input").addEventListener("input", listMatches);
  find(".choose input").addEventListener("keydown", onChooserKey);
  find(".choose .matches").addEventListener("click", (event) => {
    const place = event.target.closest("[data-place]")?.dataset.place;
    if (place !== undefined) choose(Number(place));
  });
  find(".choose").addEventListener("click", (event) => event.target === find(".choose") && close());
}
