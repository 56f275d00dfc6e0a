// The page: forms, examples, and whether the bot is ready.
import { busy, send } from "./chat.js";
import { judge } from "./emotion.js";
import { has, say } from "./words.js";

function form(name, act, held = () => false) {
  const field = document.querySelector(`#${name}-text`);
  const examples = document.querySelector(`.examples[data-for=${name}]`);
  const submit = (text) => {
    if (!text.trim() || held()) return;
    field.value = "";
    examples.hidden = true;
    act(text.trim());
  };
  document.querySelector(`#${name}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field.value);
    field.focus();
  });
  field.addEventListener("keydown", (event) => {
    // While a Chinese word is being composed, Enter belongs to the input method.
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
    const names = missing.map((part) => (has(`part_${part}`) ? say(`part_${part}`) : part));
    if (!missing.length) show("ready", say("ready"));
    else if (missing.includes("model")) show("busy", say("loading"));
    else show("busy", say("not_ready", { parts: names.join(", ") }));
    if (!missing.length) wait = 15000;
  } catch {
    show("down", say("offline"));
  }
  setTimeout(watch, wait);
}

form("emotion", judge);
form("chat", send, busy);
watch();
