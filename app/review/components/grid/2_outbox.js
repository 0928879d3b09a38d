// What the server has not acknowledged yet. Every parcel carries all of it: Streamlit keeps only the newest of the
// parcels that wait for a busy server, and a server that was killed never answers the last one.

const SEND_AFTER_MS = 40; // verdicts within it travel together
const RESEND_AFTER_MS = 2500; // a parcel is answered in well under a second
const WAITING_WORDS_AFTER_MS = 1500;

const outbox = {
  client: crypto.getRandomValues(new Uint32Array(2)).join("-"),
  next: 1,
  events: [],
  asked: {}, // what is wanted beside: an enlarged image, evidence, another page
  timer: null,
  sentAt: 0,
  waitingSince: null,
  send: null, // set at every mount
  store: null, // key in localStorage
  changed: () => {},
};

function post(event) {
  outbox.events.push({ seq: outbox.next++, ...event });
  outbox.waitingSince ??= performance.now();
  keepOutbox();
  schedule(SEND_AFTER_MS);
  outbox.changed();
  return outbox.next - 1;
}

function ask(what) {
  Object.assign(outbox.asked, what);
  schedule(SEND_AFTER_MS);
}

function schedule(wait) {
  clearTimeout(outbox.timer);
  outbox.timer = setTimeout(flush, wait);
}

function flush() {
  if (!outbox.send || (!outbox.events.length && !Object.keys(outbox.asked).length)) return;
  outbox.sentAt = performance.now();
  outbox.send({ client: outbox.client, events: outbox.events, pages: factsOfPages(), asked: outbox.asked });
  schedule(RESEND_AFTER_MS);
  outbox.changed();
}

/** What a server that was started anew must know of the pages that the events speak of. */
function factsOfPages() {
  const facts = {};
  for (const { page_id: id } of outbox.events) {
    const page = pages.get(id);
    if (page) facts[id] = { mode: page.mode, run_id: page.run_id, samples: page.tiles.map((tile) => tile.sample_id) };
  }
  return facts;
}

function acknowledge(seq) {
  if (!outbox.events.some((event) => event.seq <= seq)) return;
  outbox.events = outbox.events.filter((event) => event.seq > seq);
  outbox.waitingSince = outbox.events.length ? performance.now() : null;
  keepOutbox();
  outbox.changed();
}

function savingWords() {
  const waiting = outbox.events.length;
  if (!waiting) return { text: "all saved", late: false };
  const late = performance.now() - outbox.waitingSince > WAITING_WORDS_AFTER_MS;
  return { text: late ? `not saved yet: ${waiting}` : "saving …", late };
}

/** A tab that is closed before its last verdicts were acknowledged leaves them to the next one. */
function keepOutbox() {
  if (!outbox.store) return;
  const key = `${outbox.store}/${outbox.client}`;
  try {
    if (outbox.events.length) localStorage.setItem(key, JSON.stringify({ at: Date.now(), events: outbox.events }));
    else localStorage.removeItem(key);
  } catch {
    // Storage is full or forbidden: verdicts still travel, only a closed tab cannot leave its last ones behind.
  }
}

const ABANDONED_AFTER_MS = 8000; // longer than a living tab takes to be acknowledged

function adoptOutboxes(store) {
  if (outbox.store === store) return;
  outbox.store = store;
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(`${store}/`) || key.endsWith(outbox.client)) continue;
    let left = null;
    try {
      left = JSON.parse(localStorage.getItem(key));
    } catch {
      // Not ours, or damaged: dropped below.
    }
    if (left && Date.now() - left.at < ABANDONED_AFTER_MS) continue;
    localStorage.removeItem(key);
    for (const { seq, ...event } of left?.events ?? []) if (event.type !== "undo") post(event);
  }
}

addEventListener("beforeunload", (event) => {
  flush();
  if (outbox.events.length) event.preventDefault();
});
