// Keeps, forgets or recalls the annotator's name in this browser.
const KEY = "curate-annotator";

export default function ({ data, setTriggerValue }) {
  if (data.name) localStorage.setItem(KEY, data.name);
  else if (data.name === "") localStorage.removeItem(KEY);
  else if (localStorage.getItem(KEY)) setTriggerValue("recalled", localStorage.getItem(KEY));
}
