// Where a person types: Enter sends, Shift+Enter is a new line, `/` and `@` suggest what may follow.

import { button, h } from "./dom.js";
import { state } from "./state.js";
import { has, say } from "./strings.js";

let count = 0;
const drafts = new Map(); // what is typed and not sent, by person and place

// `send(text)` may return an error to show. `suggest` names what begins with / here ("" for none).
// What is typed stays for the next composer of the same `place`.
export function composer({ label, place, send, commands }) {
  const draft = `${state.you} ${place}`;
  const name = `suggestions-${++count}`;
  const box = h("textarea", { rows: "1", placeholder: label, "aria-label": label, role: "combobox", "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": name, spellcheck: "true" });
  const list = h("div", { class: "suggestions", id: name, role: "listbox", "aria-label": say("sandbox_suggestions"), hidden: true });
  const problem = h("div", { class: "problem", role: "alert" });
  let found = [];
  let chosen = 0;
  const history = [];

  function grow() {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 220)}px`;
    form.classList.toggle("filled", box.value.trim() !== "");
    drafts.set(draft, box.value);
  }

  function look() {
    found = suggestions(box.value.slice(0, box.selectionStart), commands);
    chosen = 0;
    draw();
  }

  function draw() {
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(Boolean(found.length)));
    list.replaceChildren(...found.map((item, index) => h("div", {
      role: "option", id: `${name}-${index}`, "aria-selected": String(index === chosen), class: index === chosen ? "on" : "",
      onpointerdown: (event) => { event.preventDefault(); take(index); },
    }, h("strong", { text: item.title }), item.hint && h("span", { class: "usage", text: item.hint }), item.note && h("small", { text: item.note }))));
    if (found.length) box.setAttribute("aria-activedescendant", `${name}-${chosen}`);
    else box.removeAttribute("aria-activedescendant");
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  }

  function take(index) {
    const item = found[index];
    const at = box.selectionStart;
    const head = box.value.slice(0, at - item.typed) + item.insert;
    box.value = head + box.value.slice(at);
    box.setSelectionRange(head.length, head.length);
    found = [];
    draw();
    grow();
    box.focus();
  }

  async function submit() {
    const text = box.value.trim();
    if (!text) return;
    problem.textContent = "";
    box.value = "";
    found = [];
    draw();
    grow();
    try {
      await send(text);
      history.push(text);
    } catch (error) {
      problem.textContent = error.message;
      if (!box.value) box.value = text;
      grow();
    }
  }

  box.addEventListener("input", () => { grow(); look(); });
  box.addEventListener("blur", () => { found = []; draw(); });
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return; // an input method's word; Safari says 229 only
    if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      draw();
    } else if (found.length && (event.key === "Tab" || event.key === "Enter")) {
      take(chosen);
    } else if (found.length && event.key === "Escape") {
      found = [];
      draw();
      event.stopPropagation();
    } else if (event.key === "Enter" && !event.shiftKey) {
      submit();
    } else if (event.key === "ArrowUp" && !box.value && history.length) {
      box.value = history[history.length - 1];
      grow();
    } else return;
    event.preventDefault();
  });
  const form = h("div", { class: "composer" }, list,
    h("div", { class: "box" }, box, button(say("sandbox_send"), "send", submit, { class: "icon-button send" })), problem);
  if (drafts.get(draft)) {
    box.value = drafts.get(draft);
    queueMicrotask(grow); // once it is on the page and has a height
  }
  return { node: form, focus: () => box.focus(), fill: (text) => { box.value = text; grow(); box.focus(); } };
}

function suggestions(before, commands) {
  const command = /^\/(\S*)$/.exec(before);
  if (command && commands) {
    return commands.filter((c) => c.name.startsWith(before)).map((c) => ({
      title: c.name, hint: c.usage_hint, note: c.description, typed: before.length, insert: `${c.name} ` }));
  }
  const mention = /(?:^|\s)@([^\s@]*)$/.exec(before);
  if (!mention) return [];
  const typed = mention[1].toLowerCase();
  return [...state.users.values()]
    .filter((u) => [u.name, u.real_name, ...u.real_name.split(/[\s-]/)].some((name) => name.toLowerCase().startsWith(typed)))
    .sort((a, b) => Number(b.is_bot) - Number(a.is_bot))
    .map((u) => ({ title: `@${u.real_name}`, note: u.is_bot ? say("sandbox_the_app") : u.id === state.you ? say("sandbox_you") : "", typed: typed.length + 1, insert: `@${u.real_name} ` }));
}

/** What went wrong, by the code of the failure. */
export function explain(code) {
  return has(`sandbox_failed_${code}`) ? say(`sandbox_failed_${code}`) : say("sandbox_failed", { code });
}
