// The page's strings, which the server chose by the browser's language.
const STRINGS = JSON.parse(document.body.dataset.strings);

export function say(key, values = {}) {
  return STRINGS[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function has(key) {
  return key in STRINGS;
}

/** An element with a class and a text; text is never read as HTML. */
export function element(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}
