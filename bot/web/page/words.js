// The page's strings, which the server chose by the browser's language.
const WORDS = JSON.parse(document.body.dataset.words);

export function say(name, values = {}) {
  return WORDS[name].replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

export function has(name) {
  return name in WORDS;
}

/** An element with a class and a text; text is never read as HTML. */
export function element(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}
