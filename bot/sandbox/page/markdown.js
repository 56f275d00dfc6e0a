// Markdown that the server turned into HTML: rebuilt here from a list of known elements, nothing else.

import { h, scrolls } from "./dom.js";
import { link } from "./mrkdwn.js";
import { say } from "./strings.js";

const KNOWN = new Set("P BR STRONG EM S DEL CODE PRE UL OL LI BLOCKQUOTE H1 H2 H3 H4 H5 H6 HR TABLE THEAD TBODY TR TH TD DIV".split(" "));

export function markdown(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  return h("div", { class: "markdown" }, [...parsed.body.childNodes].map(rebuild));
}

function rebuild(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const children = [...node.childNodes].map(rebuild);
  if (node.tagName === "A") {
    const made = link(node.getAttribute("href") ?? "", "");
    if (made.nodeType === Node.ELEMENT_NODE) {
      made.append(...children.filter(Boolean));
      return made;
    }
    return h("span", {}, children);
  }
  if (!KNOWN.has(node.tagName)) return h("span", {}, children);
  const made = h(node.tagName.toLowerCase(), {}, children);
  for (const name of ["start", "class"]) if (node.hasAttribute(name)) made.setAttribute(name, node.getAttribute(name));
  if (node.hasAttribute("tabindex")) scrolls(made, node.tagName === "PRE" ? say("sandbox_code") : say("sandbox_table"));
  return made;
}
