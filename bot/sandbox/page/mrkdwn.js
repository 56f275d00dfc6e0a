// Slack's own markup as DOM nodes. What is not markup is text.

import { h, scrolls } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { nameOf, state } from "./state.js";
import { say } from "./strings.js";

const unescape = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

// Marks count only beside white space and ASCII punctuation, as in Slack: not beside letters, Chinese ones among
// them, nor beside full-width punctuation; and they must touch their text at both ends.
const BESIDE = "\\t\\n !-/:-@\\[-`{-~";
const marked = (mark, inner) => `(?<![^${BESIDE}]|${mark})${mark}${inner}${mark}(?![^${BESIDE}]|${mark})`;
const styled = (mark) => marked(mark, `(?!\\s)([^${mark}\\n]+?)(?<!\\s)`);

// In order of strength: code, links and mentions, then styles.
const INLINE = new RegExp([
  marked("`", "([^`\\n]+)"),
  "<([^<>\\n]+)>",
  styled("\\*"),
  styled("_"),
  styled("~"),
].join("|"), "g");

export function mrkdwn(text) {
  const out = document.createDocumentFragment();
  const parts = text.split("```");
  parts.forEach((part, index) => {
    const closed = index < parts.length - 1;
    if (index % 2 && closed) out.append(scrolls(h("pre", {}, h("code", { text: unescape(part.replace(/^\n|\n$/g, "")) })), say("sandbox_code")));
    else out.append(lines(index % 2 ? "```" + part : part));
  });
  return out;
}

export const plain = (text) => document.createTextNode(withEmoji(text));

function lines(text) {
  const out = document.createDocumentFragment();
  let quote = null;
  text.split("\n").forEach((line, index, all) => {
    const quoted = /^(?:&gt;|>)\s?/.exec(line);
    if (quoted) {
      quote ??= out.appendChild(h("blockquote"));
      if (quote.childNodes.length) quote.append(h("br"));
      quote.append(inline(line.slice(quoted[0].length)));
      return;
    }
    quote = null;
    out.append(inline(line));
    if (index < all.length - 1 && !/^(?:&gt;|>)/.test(all[index + 1])) out.append(h("br"));
  });
  return out;
}

function inline(text) {
  const out = document.createDocumentFragment();
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    out.append(plain(unescape(text.slice(end, match.index))));
    end = match.index + match[0].length;
    const [, code, angle, bold, italic, strike] = match;
    if (code !== undefined) out.append(h("code", { text: unescape(code) }));
    else if (angle !== undefined) out.append(reference(angle));
    else if (bold !== undefined) out.append(h("strong", {}, inline(bold)));
    else if (italic !== undefined) out.append(h("em", {}, inline(italic)));
    else out.append(h("s", {}, inline(strike)));
  }
  out.append(plain(unescape(text.slice(end))));
  return out;
}

function reference(inner) {
  const [target, label] = inner.split("|", 2);
  if (target.startsWith("@")) return mention(target.slice(1));
  if (target.startsWith("#")) return h("span", { class: "mention", text: `#${state.channels.get(target.slice(1))?.name ?? label ?? target}` });
  if (target.startsWith("!date^")) return document.createTextNode(date(target.slice(6), label));
  if (target.startsWith("!")) return h("span", { class: "mention loud", text: broadcast(target.slice(1), label) });
  return link(unescape(target), label === undefined ? undefined : unescape(label));
}

// `seconds^format` with Slack's tokens, in the reader's own time; `label` where it is none.
function date(target, label) {
  const [seconds, format = ""] = target.split("^");
  const at = new Date(Number(seconds) * 1000);
  if (Number.isNaN(at.getTime())) return label ?? target;
  const day = (style) => at.toLocaleDateString([], { dateStyle: style });
  const tokens = { date: day("long"), date_num: day("short"), date_short: day("medium"), date_long: day("full"),
    date_pretty: day("long"), date_short_pretty: day("medium"), date_long_pretty: day("full"),
    time: at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }), time_secs: at.toLocaleTimeString() };
  return format.replace(/\{(\w+)\}/g, (whole, name) => tokens[name] ?? whole);
}

function broadcast(target, label) {
  return `@${label ?? target.split("^")[0]}`;
}

export function mention(id) {
  return h("span", { class: id === state.you ? "mention you" : "mention", text: `@${nameOf(id)}` });
}

export function link(url, label) {
  if (!/^(https?:|mailto:)/i.test(url)) return document.createTextNode(label ?? url);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer", text: label ?? url });
}
