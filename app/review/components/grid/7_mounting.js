// The component's door. It is mounted several times, told apart by `data.kind`: the desk, small and renewed at every
// answer, and what is heavy and stays the same: pages, one enlarged image, the evidence of
// one sample, the names of all categories.

const SIZE_KEY = "curate-tile-size";
const DEFAULT_TILE_PX = 132;

export default function (component) {
  const { data, parentElement } = component;
  if (!data) return;
  ({ desk: mountDesk, page: mountPage, zoom: mountZoom, evidence: mountEvidence, categories: mountCategories })[data.kind](data, parentElement, component);
}

function mountDesk(data, parentElement, component) {
  outbox.send = (parcel) => component.setTriggerValue("sent", parcel);
  outbox.changed = paintSaving;
  const fresh = root !== parentElement;
  root = parentElement;
  if (fresh || !find(".desk").dataset.ready) prepareDesk();
  if (status.store !== undefined && status.store !== data.store) leaveEverything();
  const isAnswer = status.answers !== data.answers;
  status = { ...data, order: orderWithReopened(data.order) };
  openOutbox(data.store);
  acknowledge(data.acked);
  forgetPages([...status.order, ...done.map((one) => one.page_id)]);
  if (data.undone?.client === outbox.client && data.undone.seq > lastUndone) {
    lastUndone = data.undone.seq;
    undoneElsewhere(data.undone.samples);
  }
  if (fresh) {
    shown = null;
    paintPage();
  }
  chooseShown();
  if (!shown) find(".empty").textContent = data.none_left ?? "The next page is being made ready …";
  hearRefusal(data.refused);
  paintNotice();
  askForMore();
  if (isAnswer) answered();
  paintSaving();
}

/** A page whose confirmation was just taken back comes first, also while the server has not heard of it. */
function orderWithReopened(order) {
  if (reopened !== null && (order.includes(reopened) || !outbox.events.length)) reopened = null;
  return reopened === null ? order : [reopened, ...order];
}

let refusal = null; // { client, seqs, said } as the server last told it
let refusalIsRead = true;

/** What can never be saved must not look as if it were. */
function hearRefusal(refused) {
  if (!refused || (refusal?.client === refused.client && refusal.seqs.at(-1) === refused.seqs.at(-1))) return;
  refusal = refused;
  refusalIsRead = false;
  if (refused.client === outbox.client) forgetRefused(new Set(refused.seqs));
}

/** A refusal stays to be read until Escape or the next page, however fast somebody types on. */
function dismissRefusal() {
  refusalIsRead = true;
  paintNotice();
}

function paintNotice() {
  const line = find(".notice");
  line.textContent = [status.notice, refusalIsRead ? null : refusal.said].filter(Boolean).join(" ");
  line.hidden = !line.textContent;
}

const ASK_AGAIN_MS = 600;
let asking = null;
let lastUndone = 0;

/** Until the page after this one is here, or there is none. */
function askForMore() {
  clearTimeout(asking);
  const order = status.order ?? [];
  const waiting = order.filter((id) => pages.has(id) && !confirmed.has(id));
  const isComplete = waiting.length >= 2 || (status.none_left && order.every((id) => pages.has(id)));
  if (!isComplete && root?.host?.isConnected)
    asking = setTimeout(() => ask({ page: true }), ASK_AGAIN_MS);
}

function mountPage(data) {
  receivePage(data.page);
  if (root?.host?.isConnected) chooseShown();
}

function mountZoom(data) {
  enlarged.clear();
  enlarged.set(data.sample_id, data.picture);
  const tile = shown?.tiles.find((one) => one.sample_id === data.sample_id);
  if (overlay === "zoom" && zoomedSample === data.sample_id && tile) paintZoom(tile);
}

function mountCategories(data) {
  categories = data.names;
  if (overlay === "choose") listMatches();
}

function mountEvidence(data) {
  evidence = data.evidence;
  if (overlay === "evidence" && shown?.tiles[shown.cursor].sample_id === evidence.sample_id) paintEvidence();
}

function prepareDesk() {
  overlay = null;
  find(".desk").dataset.ready = "yes";
  const slider = find(".tile-size");
  slider.value = localStorage.getItem(SIZE_KEY) ?? DEFAULT_TILE_PX;
  const resize = () => find(".desk").style.setProperty("--tile", `${Number(slider.value)}px`);
  slider.addEventListener("input", () => {
    resize();
    localStorage.setItem(SIZE_KEY, slider.value);
  });
  resize();
  listenToMouse();
  listenToChooser();
}

/** Another annotator sits down at this browser. */
function leaveEverything() {
  pages.clear();
  confirmed.clear();
  done.length = 0;
  shown = null;
}

setInterval(paintSaving, 1000);
setInterval(takeFreeKeyboard, 500);

/** Streamlit's dialog on a server that was away takes the keyboard and gives it back to nobody. */
function takeFreeKeyboard() {
  if (shown && overlay === null && root?.host?.isConnected && document.activeElement === document.body)
    find(".tiles").children[shown.cursor]?.focus({ preventScroll: true });
}
