// What keys and clicks do. Everything answers from this browser's memory at once; the outbox tells the server.

let reopened = null; // a page whose confirmation was taken back, until the server says so too
const done = []; // what undo takes back, newest last: { page_id, seq, steps, before, confirmed }

function decideOn(page, verdicts, key) {
  const before = new Map(verdicts.map((verdict) => [verdict.sample_id, page.own.get(verdict.sample_id)]));
  const sent = verdicts.map((verdict) => ({ ...verdict, key }));
  const seq = post({ type: "verdicts", page_id: page.page_id, verdicts: sent });
  for (const verdict of sent) page.own.set(verdict.sample_id, { ...verdict, seq });
  done.push({ page_id: page.page_id, seq, steps: sent.length, before, confirmed: false });
  repaint(sent.map((verdict) => verdict.sample_id));
  say(sent.length === 1 ? `${shown.cursor + 1}: ${sent[0].action} ${wordOf(sent[0])}` : `${sent.length} images: ${sent[0].action}`);
}

function giveVerdict(verdictFor, key) {
  const verdicts = targets(shown).map((tile) => ({ ...verdictFor(tile), sample_id: tile.sample_id }));
  endRange();
  decideOn(shown, verdicts, key);
}

function giveAction(action, key) {
  giveVerdict(() => ({ action, category: null }), key);
}

function giveLikely(position, key) {
  const category = shown.tiles[shown.cursor].likely[position];
  if (category !== undefined) giveVerdict((tile) => categoryVerdict(tile, category), key);
}

function toggleTile(index) {
  moveTo(index);
  giveAction(verdictOf(shown, shown.tiles[index]).action === "keep" ? "drop" : "keep", "click");
}

function confirmPage() {
  const left = rest(shown);
  const seq = post({ type: "confirm", page_id: shown.page_id, verdicts: left });
  done.push({ page_id: shown.page_id, seq, steps: left.length, before: new Map(), confirmed: true });
  confirmed.add(shown.page_id);
  dismissRefusal();
  say("Page confirmed.");
  chooseShown();
}

function undo() {
  const last = done.pop();
  if (!last) {
    post({ type: "undo", page_id: null, steps: 1 });
    return;
  }
  post({ type: "undo", page_id: last.page_id, of: last.seq, steps: last.steps, reopens: last.confirmed });
  const page = pages.get(last.page_id);
  if (!page) return;
  if (last.confirmed) {
    confirmed.delete(last.page_id);
    reopened = last.page_id;
    status.order = [last.page_id, ...(status.order ?? []).filter((id) => id !== last.page_id)];
  }
  for (const [sample, verdict] of last.before) {
    if (verdict) page.own.set(sample, verdict);
    else page.own.delete(sample);
  }
  chooseShown();
  repaint([...last.before.keys()]);
  const first = page.tiles.findIndex((tile) => last.before.has(tile.sample_id));
  if (first >= 0 && page === shown) moveTo(first);
  say("Undone.");
}

/** What was said in these events is not in the journal, and never will be: what stood before stands. */
function forgetRefused(seqs) {
  for (let place = done.length - 1; place >= 0; place -= 1) {
    const { seq, page_id: id, before } = done[place];
    if (!seqs.has(seq)) continue;
    done.splice(place, 1);
    const own = pages.get(id)?.own;
    for (const [sample, earlier] of before) {
      if (own?.get(sample)?.seq !== seq) continue; // decided on again since
      if (earlier) own.set(sample, earlier);
      else own.delete(sample);
    }
  }
  if (shown) repaint(shown.tiles.map((tile) => tile.sample_id));
}

/** The server took back what this browser had forgotten: the tiles stand as they were set beforehand. */
function undoneElsewhere(samples) {
  for (const sample of samples) shown?.own.delete(sample);
  if (shown) repaint(samples);
}

function repaint(samples) {
  const changed = new Set(samples);
  shown?.tiles.forEach((tile, index) => changed.has(tile.sample_id) && paintTile(index));
  if (shown) paintBar();
}

/** The first page that is here and not confirmed, in the server's order. */
function chooseShown() {
  const id = (status.order ?? []).find((page) => pages.has(page) && !confirmed.has(page));
  const next = id === undefined ? null : pages.get(id);
  if (next === shown && next !== null) return;
  shown = next;
  if (!root) return;
  close();
  paintPage();
  if (shown) focusTile();
  if (!shown && !status.none_left) ask({ page: true });
}

function columns() {
  return getComputedStyle(find(".tiles")).gridTemplateColumns.split(" ").length;
}

function focusTile() {
  if (shown) find(".tiles").children[shown.cursor]?.focus();
}

function moveTo(index, extend = false) {
  const target = Math.min(Math.max(index, 0), shown.tiles.length - 1);
  const previous = shown.cursor;
  if (extend) shown.anchor ??= previous;
  shown.cursor = target;
  if (shown.anchor === null) [previous, target].forEach(paintTile);
  else shown.tiles.forEach((_, position) => paintTile(position));
  paintBar();
  focusTile();
}

function markRange() {
  if (shown.anchor !== null) endRange();
  else {
    shown.anchor = shown.cursor;
    paintTile(shown.cursor);
    paintBar();
    say("Range begins here: move, then give a verdict.");
  }
}

function endRange() {
  if (shown.anchor === null) return;
  shown.anchor = null;
  shown.tiles.forEach((_, position) => paintTile(position));
  paintBar();
}
