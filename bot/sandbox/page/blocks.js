// Block Kit as DOM nodes. `press(action_id, value)` is called when something is pressed.

import { h, icon, scrolls } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { choose, confirmFirst } from "./menu.js";
import { markdown } from "./markdown.js";
import { link, mention, mrkdwn, plain } from "./mrkdwn.js";
import { nameOf, state } from "./state.js";
import { say } from "./strings.js";

export function blocks(list, press) {
  return h("div", { class: "blocks" }, list.map((block) => one(block, press)));
}

function one(block, press) {
  const made = (KINDS[block.type] ?? unknown)(block, press);
  made.classList.add("block");
  return made;
}

const unknown = (block) => h("div", { class: "unknown", text: `[${block.type}]` });
const textOf = (found) => (found?.type === "mrkdwn" ? mrkdwn(found.text) : plain(found?.text ?? ""));

const KINDS = {
  section(block, press) {
    return h("div", { class: "section" },
      h("div", { class: "section-text" },
        block.text && h("div", {}, textOf(block.text)),
        block.fields && h("div", { class: "fields" }, block.fields.map((field) => h("div", {}, textOf(field))))),
      block.accessory && h("div", { class: "accessory" }, element(block.accessory, press)));
  },
  header: (block) => h("h3", { class: "header" }, textOf(block.text)),
  context: (block) => h("div", { class: "context" }, block.elements.map((part) =>
    part.type === "image" ? image(part, "small") : h("span", {}, textOf(part)))),
  divider: () => h("hr"),
  actions: (block, press) => h("div", { class: "actions" }, block.elements.map((part) => element(part, press))),
  context_actions: (block, press) => h("div", { class: "actions quiet" }, block.elements.map((part) => element(part, press))),
  image: (block) => h("figure", {}, block.title && h("figcaption", {}, textOf(block.title)), image(block, "large")),
  markdown: (block) => markdown(block.html ?? ""),
  rich_text: (block) => h("div", { class: "rich" }, block.elements.map(rich)),
  table: (block) => h("div", { class: "table", tabindex: "0", role: "group", "aria-label": say("sandbox_table") },
    h("table", {}, h("tbody", {}, block.rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cellOf(cell)))))))),
  task_update: (block) => h("div", { class: `task ${block.status ?? ""}` }, h("span", { class: "task-dot" }), plain(block.title ?? "")),
  plan_update: (block) => h("div", { class: "task" }, h("strong", {}, plain(block.title ?? ""))),
  input: (block) => h("label", { class: "input" }, h("span", {}, textOf(block.label)), field(block),
    block.hint && h("small", {}, textOf(block.hint))),
};

const cellOf = (cell) => (cell.type === "rich_text" ? h("div", {}, cell.elements.map(rich)) : plain(cell.text ?? ""));

function image(part, size) {
  const url = part.image_url ?? part.slack_file?.url ?? (part.slack_file ? `/files/${part.slack_file.id}` : "");
  // Only pictures of this server and data URLs are loaded; the rest of the web is not asked.
  if (url.startsWith("/") || url.startsWith("data:image/") || url.startsWith(location.origin))
    return h("img", { class: size, src: url, alt: part.alt_text ?? "" });
  return h("span", { class: "outside" }, "🖼 ", link(url, part.alt_text || url));
}

function element(part, press) {
  const go = (value) => confirmFirst(part.confirm, () => press(part.action_id, value));
  if (part.type === "button") {
    return h("button", { type: "button", class: `button ${part.style ?? ""}`, "aria-label": part.accessibility_label,
      data: { action: part.action_id }, onclick: () => go() }, plain(part.text.text));
  }
  if (part.type === "icon_button")
    return h("button", { type: "button", class: "button small", data: { action: part.action_id }, title: part.text.text,
      "aria-label": part.text.text, onclick: () => go() }, part.icon === "trash" ? "🗑" : "◻");
  if (part.type === "feedback_buttons")
    return h("span", { class: "feedback" }, [["positive_button", "👍"], ["negative_button", "👎"]].map(([side, sign]) =>
      h("button", { type: "button", class: "button small", title: part[side].text.text, "aria-label": part[side].text.text,
        data: { action: part.action_id, side }, onclick: () => go(part[side].value) }, sign)));
  if (part.type === "overflow")
    return h("button", { type: "button", class: "button small", "aria-label": say("sandbox_more"), "aria-haspopup": "menu",
      data: { action: part.action_id },
      onclick: (event) => choose(event.currentTarget, part.options.map((option) =>
        ({ label: withEmoji(option.text.text), run: () => go(option.value) }))) }, icon("more"));
  if (part.type === "image") return image(part, "thumb");
  if (part.type === "checkboxes" || part.type === "radio_buttons") return boxes(part, go);
  if (part.options) return select(part, go);
  return h("span", { class: "unknown", text: `[${part.type}]` });
}

function select(part, go) {
  const first = part.initial_option?.value;
  return h("select", { class: "select", "aria-label": part.placeholder?.text ?? part.action_id, data: { action: part.action_id },
    onchange: (event) => go(event.currentTarget.value) },
    first === undefined && h("option", { value: "", disabled: true, selected: true, text: part.placeholder?.text ?? say("sandbox_choose") }),
    part.options.map((option) => h("option", { value: option.value, selected: option.value === first }, withEmoji(option.text.text))));
}

function boxes(part, go) {
  const many = part.type === "checkboxes";
  const on = new Set((part.initial_options ?? (part.initial_option ? [part.initial_option] : [])).map((o) => o.value));
  const group = h("div", { class: "boxes", data: { action: part.action_id } }, part.options.map((option) => h("label", {},
    h("input", { type: many ? "checkbox" : "radio", name: part.action_id, value: option.value, checked: on.has(option.value),
      onchange: () => {
        const values = [...group.querySelectorAll("input:checked")].map((box) => box.value);
        go(many ? values : values[0]);
      } }), " ", textOf(option.text), option.description && h("small", {}, textOf(option.description)))));
  return group;
}

function field(block) {
  const part = block.element;
  const marks = { block: block.block_id, action: part.action_id, kind: part.type };
  if (part.type === "plain_text_input")
    return h(part.multiline ? "textarea" : "input", { data: marks, placeholder: part.placeholder?.text,
      ...(part.multiline ? { text: part.initial_value } : { value: part.initial_value }), required: !block.optional });
  const made = element(part, () => {});
  Object.assign(made.dataset, marks);
  return made;
}

function rich(part) {
  if (part.type === "rich_text_section") return h("div", {}, part.elements.map(piece));
  if (part.type === "rich_text_quote") return h("blockquote", {}, part.elements.map(piece));
  if (part.type === "rich_text_preformatted") return scrolls(h("pre", {}, h("code", {}, part.elements.map(piece))), say("sandbox_code"));
  return h(part.style === "ordered" ? "ol" : "ul", {}, part.elements.map((item) => h("li", {}, item.elements.map(piece))));
}

function piece(part) {
  if (part.type === "user") return mention(part.user_id);
  if (part.type === "channel") return h("span", { class: "mention", text: `#${state.channels.get(part.channel_id)?.name ?? part.channel_id}` });
  if (part.type === "broadcast") return h("span", { class: "mention loud", text: `@${part.range}` });
  if (part.type === "usergroup") return h("span", { class: "mention loud", text: `@${nameOf(part.usergroup_id)}` });
  if (part.type === "emoji") return document.createTextNode(emoji(part.name));
  let made = part.type === "link" ? link(part.url, part.text) : document.createTextNode(part.text ?? "");
  for (const [style, tag] of [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]])
    if (part.style?.[style]) made = h(tag, {}, made);
  return made;
}
