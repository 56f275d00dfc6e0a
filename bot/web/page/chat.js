// The chat box: the reply appears as it is decoded, as HTML that the server rendered from Markdown.
import { infer } from "./server.js";
import { element, say } from "./strings.js";

const log = document.querySelector("#log");
const stop = document.querySelector("#chat-stop");
const submit = document.querySelector("#chat-form .primary");
const TAG = "#CHAT#";
let thread = null;
let running = null;

export function busy() {
  return running !== null;
}

export async function sendMessage(text) {
  add(element("div", "said you", text), say("page_you"));
  const message = element("div", "said bot");
  const stream = element("div", "stream rendered");
  const wait = element("p", "wait", say("page_thinking"));
  message.append(wait);
  add(message, say("page_bot"));
  running = new AbortController();
  setRunning(true);
  const body = { text: TAG + text };
  if (thread) body.thread = thread;
  const mine = running;
  try {
    for await (const [event, data] of infer(body, mine.signal)) {
      if (event === "piece") {
        if (wait.isConnected) wait.replaceWith(stream);
        if (data.html === undefined) continue; // comes with one of the next pieces
        const follow = atEnd();
        stream.innerHTML = data.html;
        if (follow) toEnd();
      } else if (event === "done") {
        if (running === mine) thread = data.thread;
        show(message, data.html);
      }
    }
  } catch (problem) {
    const aborted = problem.name === "AbortError";
    wait.remove();
    stream.className = "rendered";
    message.append(element("p", aborted ? "aside" : "wrong", aborted ? say("stopped") : problem.message));
  } finally {
    if (running === mine) {
      running = null;
      setRunning(false);
    }
    toEnd();
  }
}

/** The finished reply. Only here and above is HTML inserted; the server has sanitized it. */
function show(message, html) {
  const rendered = element("div", "rendered");
  rendered.innerHTML = html;
  if (!rendered.textContent.trim()) rendered.replaceChildren(element("p", "wait", say("page_nothing")));
  for (const link of rendered.querySelectorAll("a")) link.target = "_blank";
  message.replaceChildren(rendered);
}

/** Show whether a reply is in progress; screen readers wait with the log until it is complete. */
function setRunning(yes) {
  stop.hidden = !yes;
  submit.disabled = yes;
  log.setAttribute("aria-busy", String(yes));
}

function add(node, speaker) {
  node.prepend(element("span", "hidden", `${speaker}: `));
  log.append(node);
  toEnd();
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

stop.addEventListener("click", () => running?.abort());
document.querySelector("#chat").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) running?.abort();
});

document.querySelector("#chat-new").addEventListener("click", () => {
  running?.abort();
  running = null;
  setRunning(false);
  thread = null;
  log.replaceChildren();
  document.querySelector("#chat .examples").hidden = false;
  document.querySelector("#chat-text").focus();
});
