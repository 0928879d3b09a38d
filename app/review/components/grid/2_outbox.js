// What the server has not acknowledged yet. Every parcel carries all of it: Streamlit keeps only the newest of the
// parcels that wait for a busy server, and a server that was killed never answers the last one. One is on its way at a
// time: what comes meanwhile travels together, as soon as that is answered.

const RESEND_AFTER_MS = 1000; // 95 % of the parcels are answered within 30 ms, on a busy machine 330
const RESEND_LAST_AFTER_MS = 2500; // to a server that is slow or gone, again and again
const WAITING_WORDS_AFTER_MS = 1500;

const newClient = () => crypto.getRandomValues(new Uint32Array(2)).join("-");
const outbox = {
  client: newClient(),
  next: 1,
  events: [],
  pages: {}, // page id -> what a server that has forgotten the page must know of it; of every page that events speak of
  left: [], // outboxes of tabs that are gone: { client, events, pages }
  asked: {}, // what is wanted beside: an enlarged image, evidence, another page
  timer: null,
  patience: RESEND_AFTER_MS,
  onItsWay: null, // what the parcel that has no answer yet holds: { next, left, asked }
  waitingSince: null,
  send: null, // set at every mount
  store: null, // key in localStorage
  changed: () => {},
};

function post(event) {
  outbox.events.push({ seq: outbox.next++, ...event });
  const page = pages.get(event.page_id);
  if (page) outbox.pages[page.page_id] ??= factsOf(page);
  outbox.waitingSince ??= performance.now();
  keepOutbox();
  sendSoon();
  outbox.changed();
  return outbox.next - 1;
}

function ask(what) {
  Object.assign(outbox.asked, what);
  sendSoon();
}

/** With all that this moment brings, or behind the parcel that is on its way. */
function sendSoon() {
  if (!outbox.onItsWay) schedule(0);
}

/** The server has answered the parcel that was on its way. */
function answered() {
  const { next = 0, left = 0, asked = {} } = outbox.onItsWay ?? {};
  outbox.onItsWay = null;
  outbox.patience = RESEND_AFTER_MS;
  for (const [what, which] of Object.entries(asked)) if (outbox.asked[what] === which) delete outbox.asked[what];
  if (outbox.next > next || outbox.left.length > left || Object.keys(outbox.asked).length) sendSoon();
}

function schedule(wait) {
  clearTimeout(outbox.timer);
  outbox.timer = setTimeout(flush, wait);
}

function flush() {
  if (!root?.host?.isConnected) {
    schedule(RESEND_LAST_AFTER_MS); // another screen is shown: the server knows of no desk that could hear it
    return;
  }
  if (!outbox.send || (!outbox.events.length && !outbox.left.length && !Object.keys(outbox.asked).length)) return;
  outbox.onItsWay = { next: outbox.next, left: outbox.left.length, asked: { ...outbox.asked } };
  const { client, events, left, asked } = outbox;
  outbox.send({ client, events, pages: outbox.pages, has: [...pages.keys()], left, asked });
  schedule(outbox.patience);
  outbox.patience = Math.min(2 * outbox.patience, RESEND_LAST_AFTER_MS);
  outbox.changed();
}

function factsOf(page) {
  return { mode: page.mode, run_id: page.run_id, samples: page.tiles.map((tile) => tile.sample_id) };
}

/** `acked`: client -> the number of its last event that is in the journal. */
function acknowledge(acked) {
  for (const box of outbox.left) {
    const seq = acked[box.client] ?? 0;
    if (!box.events.some((event) => event.seq <= seq)) continue;
    box.events = box.events.filter((event) => event.seq > seq);
    forgetKept(box.client, seq);
  }
  outbox.left = outbox.left.filter((box) => box.events.length);
  const seq = acked[outbox.client] ?? 0;
  if (outbox.events.some((event) => event.seq <= seq)) {
    outbox.events = outbox.events.filter((event) => event.seq > seq);
    const spokenOf = new Set(outbox.events.map((event) => event.page_id));
    for (const id of Object.keys(outbox.pages)) if (!spokenOf.has(id)) delete outbox.pages[id];
    outbox.waitingSince = performance.now();
    keepOutbox();
  }
  if (!waiting()) outbox.waitingSince = null;
  outbox.changed();
}

function waiting() {
  return outbox.left.reduce((sum, box) => sum + box.events.length, outbox.events.length);
}

function savingWords() {
  const number = waiting();
  if (!number) return { text: "all saved", late: false };
  const late = performance.now() - outbox.waitingSince > WAITING_WORDS_AFTER_MS;
  return { text: late ? `not saved yet: ${number}` : "saving …", late };
}

// A tab that is closed before its last verdicts were acknowledged leaves them to the next one, in two values of
// localStorage: its events, rewritten at every key but short, and the facts of their pages, rewritten with the page.

const keyOf = (client) => `${outbox.store}/${client}`;
const pagesKeyOf = (client) => `${outbox.store}/${client}/pages`;

function keepOutbox() {
  if (!outbox.store) return;
  const ids = Object.keys(outbox.pages).join();
  try {
    if (outbox.events.length) {
      if (ids !== outbox.keptPages) localStorage.setItem(pagesKeyOf(outbox.client), JSON.stringify(outbox.pages));
      localStorage.setItem(keyOf(outbox.client), JSON.stringify({ at: Date.now(), events: outbox.events }));
      outbox.keptPages = ids;
    } else {
      removeKept(outbox.client);
      outbox.keptPages = "";
    }
  } catch {
    // Storage is full or forbidden: verdicts still travel, only a closed tab cannot leave its last ones behind.
  }
}

function removeKept(client) {
  localStorage.removeItem(keyOf(client));
  localStorage.removeItem(pagesKeyOf(client));
}

/** The events up to `seq` of a tab that is gone are written; a tab that lives after all may have kept more since. */
function forgetKept(client, seq) {
  const kept = readKept(keyOf(client));
  const events = kept?.events?.filter((event) => event.seq > seq) ?? [];
  if (events.length) localStorage.setItem(keyOf(client), JSON.stringify({ ...kept, events }));
  else removeKept(client);
}

function readKept(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // damaged: nothing can be made of it
  }
}

/**
 * Sends what tabs of this annotator have left behind `olderThan` ms ago, as those had named it: the server writes what
 * has one name once, so it does no harm where the tab had been heard or is still there. An undo that names what it
 * takes back is sent too. One that does not means the newest decision of its moment; now that may be another, so it is
 * dropped: what the annotator would have taken back stands, and can be taken back.
 */
function adoptOutboxes(olderThan) {
  const known = new Set([outbox.client, ...outbox.left.map((box) => box.client)]);
  for (const key of Object.keys(localStorage)) {
    const client = key.startsWith(`${outbox.store}/`) ? key.slice(outbox.store.length + 1) : "";
    if (!/^\d+-\d+$/.test(client) || known.has(client)) continue;
    const kept = readKept(key);
    if (Date.now() - (kept?.at ?? 0) < olderThan) continue;
    const events = kept?.events?.filter((event) => event.type !== "undo" || event.of) ?? [];
    if (events.length) outbox.left.push({ client, events, pages: readKept(pagesKeyOf(client)) ?? {} });
    else removeKept(client);
  }
  if (!outbox.left.length) return;
  outbox.waitingSince ??= performance.now();
  sendSoon();
}

const ABANDONED_AFTER_MS = 8000; // a living tab is acknowledged sooner

/** This browser now speaks for the annotator and workspace of `store`; what others left unsaved here stays theirs. */
function openOutbox(store) {
  if (outbox.store === store) return;
  if (outbox.store) Object.assign(outbox, { client: newClient(), events: [], pages: {}, left: [], waitingSince: null, keptPages: "" });
  outbox.store = store;
  adoptOutboxes(0); // before anything is decided here: what was decided later must count
}

setInterval(() => outbox.store && adoptOutboxes(ABANDONED_AFTER_MS), ABANDONED_AFTER_MS);

addEventListener("beforeunload", (event) => {
  flush();
  if (outbox.events.length) event.preventDefault();
});
