// The page's strings, which the server chose by the browser's language.
const STRINGS = JSON.parse(document.body.dataset.strings);

export function say(key, values = {}) {
  return STRINGS[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function has(key) {
  return key in STRINGS;
}
