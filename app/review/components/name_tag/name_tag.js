// Keeps, forgets or recalls the annotator's name in this browser.
const KEY = "curate-annotator";
const TOLD_AGAIN_MS = 1500; // what is told while a server starts may be heard and yet not change the screen

export default function ({ data, parentElement, setTriggerValue }) {
  if (data.name) localStorage.setItem(KEY, data.name);
  else if (data.name === "") localStorage.removeItem(KEY);
  else if (localStorage.getItem(KEY)) {
    const tell = () => setTriggerValue("recalled", localStorage.getItem(KEY));
    tell();
    const again = setInterval(() => (parentElement.isConnected ? tell() : clearInterval(again)), TOLD_AGAIN_MS);
  }
}
