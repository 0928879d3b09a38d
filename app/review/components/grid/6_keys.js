// The keyboard, and the mouse as its equal. Keys go by what they type, so that other keyboard layouts work too.

const ACTIONS = {
  q: () => giveAction("keep", "q"),
  w: () => giveVerdict((tile) => suggestionOf(shown, tile), "w"),
  e: () => giveAction("drop", "e"),
  n: () => giveAction("unsure", "n"),
  t: openChooser,
  x: markRange,
  v: openEvidence,
  z: undo,
  Enter: confirmPage,
  Escape: () => (endRange(), dismissRefusal()),
};
const MOVES = {
  ArrowLeft: () => shown.cursor - 1,
  ArrowRight: () => shown.cursor + 1,
  ArrowUp: () => shown.cursor - columns(),
  ArrowDown: () => shown.cursor + columns(),
  Home: () => 0,
  End: () => shown.tiles.length - 1,
};
const TYPING = "input:not([type=range]), textarea, select, [contenteditable]:not([contenteditable=false]), [role=combobox], [role=textbox]";
const OWN_KEYS = "button, a[href], summary, input[type=range], [role=button], [role=slider], [role=tab], [role=menuitem]";

/** Whether a key belongs to what has the focus: a field, or (Enter, Space, arrows) a control. */
function belongsElsewhere(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof Element)) return false;
  if (target.closest(TYPING)) return true;
  return Boolean(target.closest(OWN_KEYS)) && (event.key === "Enter" || event.key === " " || event.key in MOVES);
}

function onKeyDown(event) {
  if (!root?.host?.isConnected || event.defaultPrevented) return;
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || belongsElsewhere(event)) return;
  if (pressed(event.key, event.shiftKey, event.repeat)) {
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Does what a key says; returns whether it meant anything. */
function pressed(key, shift, repeat) {
  if (key === "?") return toggleHelp();
  if (overlay) return pressedOverlay(key);
  if (!shown) return key.toLowerCase() === "z" && !repeat ? (undo(), true) : false;
  if (key in MOVES) {
    moveTo(MOVES[key](), shift);
    return true;
  }
  if (repeat) return key === " " || key in ACTIONS; // a key held down decides once
  if (key === " ") openZoom();
  else if (/^[1-9]$/.test(key)) giveLikely(Number(key) - 1, key);
  else {
    const action = ACTIONS[key] ?? ACTIONS[key.toLowerCase()];
    if (!action) return false;
    action();
  }
  return true;
}

function pressedOverlay(key) {
  if (overlay === "zoom" && key === " ") return true; // held
  if (key === "Escape" || (overlay === "evidence" && key.toLowerCase() === "v")) {
    close();
    return true;
  }
  return key !== "Tab"; // nothing is decided behind an overlay
}

function onKeyUp(event) {
  if (event.key === " " && overlay === "zoom") close();
}

function toggleHelp() {
  if (overlay === "help") close();
  else {
    open("help");
    find(".help .close").focus();
  }
  return true;
}

function listenToMouse() {
  const tiles = find(".tiles");
  // The focus follows the click, not the button going down: a Shift-click needs to know where it was before.
  tiles.addEventListener("mousedown", (event) => event.preventDefault());
  tiles.addEventListener("click", (event) => {
    const index = Number(event.target.closest(".tile")?.dataset.index ?? -1);
    if (index < 0 || event.detail > 1) return;
    if (event.shiftKey) moveTo(index, true);
    else if (shown.anchor !== null && targets(shown).includes(shown.tiles[index])) giveAction("drop", "click");
    else toggleTile(index);
  });
  tiles.addEventListener("dblclick", (event) => {
    const index = Number(event.target.closest(".tile")?.dataset.index ?? -1);
    if (index < 0) return;
    undo(); // the first click of the two has switched the verdict
    moveTo(index);
    openZoom();
  });
  tiles.addEventListener("focusin", (event) => {
    const index = Number(event.target.closest(".tile")?.dataset.index ?? -1);
    if (index >= 0 && index !== shown.cursor) moveTo(index);
  });
  // A button that is pressed with the mouse leaves the focus on the tile, so that keys go on working.
  const bar = find(".bar");
  bar.addEventListener("mousedown", (event) => event.preventDefault());
  bar.addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key) pressed(key, false, false);
  });
  for (const button of root.querySelectorAll(".close")) button.addEventListener("click", close);
  find(".zoom").addEventListener("click", close);
  find(".help").addEventListener("click", (event) => event.target === find(".help") && close());
  find(".open-help").addEventListener("click", toggleHelp);
}

document.addEventListener("keydown", onKeyDown);
document.addEventListener("keyup", onKeyUp);
