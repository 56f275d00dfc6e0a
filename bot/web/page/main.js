// The page: forms, examples, and whether the bot is ready.
import { busy, sendMessage } from "./chat.js";
import { composes, passFocus } from "./dom.js";
import { classify } from "./emotion.js";
import { linesOf } from "./lines.js";
import { has, say } from "./strings.js";

const MANY = 3; // lines that are judged one by one unless the person says otherwise

function form(name, send, { blocked = () => false, changed = () => {} } = {}) {
  const field = document.querySelector(`#${name}-text`);
  const examples = document.querySelector(`.examples[data-for=${name}]`);
  const submit = (text) => {
    if (!text.trim() || blocked()) return;
    passFocus(examples, field);
    examples.hidden = true;
    field.value = "";
    send(text.trim());
    changed();
  };
  document.querySelector(`#${name}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field.value);
    field.focus();
  });
  field.addEventListener("input", changed);
  field.addEventListener("keydown", (event) => {
    // Enter that confirms a word of an input method (Chinese) sends nothing.
    if (event.key !== "Enter" || event.shiftKey || composes(event)) return;
    event.preventDefault();
    submit(field.value);
  });
  for (const button of examples.querySelectorAll("button")) {
    button.addEventListener("click", () => submit(button.textContent));
  }
}

const each = document.querySelector("#emotion-each");
let chosen = false; // whether the person has set the box for the text that is in the field

/** Offer to judge each line by itself where there are several. */
function offerLines() {
  const count = linesOf(document.querySelector("#emotion-text").value).length;
  const row = each.closest("label");
  if (count < 2) {
    passFocus(row, document.querySelector("#emotion-text"));
    chosen = false;
  }
  row.hidden = count < 2;
  document.querySelector("#emotion-note").hidden = count > 1;
  if (!chosen) each.checked = count >= MANY;
  row.lastElementChild.textContent = say("page_each_line", { count });
}

each.addEventListener("change", () => {
  chosen = true;
});

function sendText(text) {
  const lines = linesOf(text);
  classify(text, lines.length > 1 && each.checked ? lines : null);
}

let next; // when the state is looked at again

async function watch() {
  const state = document.querySelector("#state");
  const show = (kind, text) => {
    state.dataset.state = kind;
    if (state.textContent !== text) state.textContent = text;
  };
  let wait = 2000;
  try {
    const { parts } = await (await fetch("/readyz")).json();
    const missing = Object.keys(parts).filter((part) => !parts[part]);
    const names = missing.map((part) => (has(`page_part_${part}`) ? say(`page_part_${part}`) : part));
    if (!missing.length) show("ready", say("page_ready"));
    else if (missing.includes("model")) show("busy", say("page_loading"));
    else show("busy", say("page_not_ready", { parts: names.join(", ") }));
    if (!missing.length) wait = 15000;
  } catch {
    show("down", say("page_offline"));
  }
  clearTimeout(next); // of another look at the same time
  next = setTimeout(watch, wait);
}

form("emotion", sendText, { changed: offerLines });
form("chat", sendMessage, { blocked: busy });
offerLines();
addEventListener("pageshow", offerLines); // the browser may have put back what was typed before a reload
document.addEventListener("lost", watch);
watch();
