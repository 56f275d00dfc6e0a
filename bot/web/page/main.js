// The page: forms, examples, and whether the bot is ready.
import { busy, sendMessage } from "./chat.js";
import { classify } from "./emotion.js";
import { has, say } from "./strings.js";

function form(name, send, blocked = () => false) {
  const field = document.querySelector(`#${name}-text`);
  const examples = document.querySelector(`.examples[data-for=${name}]`);
  const submit = (text) => {
    if (!text.trim() || blocked()) return;
    field.value = "";
    examples.hidden = true;
    send(text.trim());
  };
  document.querySelector(`#${name}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field.value);
    field.focus();
  });
  field.addEventListener("keydown", (event) => {
    // While the input method composes a word (Chinese), Enter confirms it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit(field.value);
  });
  for (const button of examples.querySelectorAll("button")) {
    button.addEventListener("click", () => submit(button.textContent));
  }
}

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
  setTimeout(watch, wait);
}

form("emotion", classify);
form("chat", sendMessage, busy);
watch();
