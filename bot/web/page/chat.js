// The chat box: the reply appears as it is decoded, as HTML that the server rendered from Markdown.
import { button, composes, element, giveBack, passFocus, showHtml } from "./dom.js";
import { ask } from "./server.js";
import { say } from "./strings.js";

const log = document.querySelector("#log");
const field = document.querySelector("#chat-text");
const stop = document.querySelector("#chat-stop");
const submit = document.querySelector("#chat-form .primary");
const TAG = "#CHAT#";
let thread = newThread();
let running = null;

/** The name of a conversation: chosen here, so that one whose first reply is stopped goes on, too. */
function newThread() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function busy() {
  return running !== null;
}

export async function sendMessage(text) {
  const question = add(element("div", "said you", text), say("page_you"));
  const message = add(element("div", "said bot"), say("page_bot"));
  const wait = element("p", "wait", say("page_thinking"));
  const reply = element("div", "rendered stream");
  message.append(wait);
  running = new AbortController();
  setRunning(true);
  const body = { text: TAG + text, thread };
  const mine = running;
  const show = (html) => {
    if (wait.isConnected) wait.replaceWith(reply);
    const follow = atEnd();
    showHtml(reply, html);
    if (follow) toEnd();
  };
  try {
    for await (const [event, data] of ask("/api/infer", body, mine.signal)) {
      if (event === "piece" && data.html !== undefined) show(data.html); // others come with one of the next
      else if (event === "done") {
        show(data.html);
        if (!reply.textContent.trim()) reply.replaceChildren(element("p", "wait", say("page_nothing")));
      }
    }
  } catch (problem) {
    if (problem.html) show(problem.html);
    wait.remove();
    if (problem.name === "AbortError") message.append(element("p", "aside", say("stopped")));
    else fail(message, question, text, problem);
  } finally {
    reply.classList.remove("stream");
    if (running === mine) {
      running = null;
      setRunning(false);
    }
    toEnd();
  }
}

/** Say what went wrong, below the text so far, with a way on. */
function fail(message, question, text, problem) {
  message.append(element("p", "wrong", problem.message));
  if (!problem.again) {
    giveBack(field, text);
    return;
  }
  message.append(
    button("again", say("again"), () => {
      if (busy()) return;
      field.focus();
      question.remove();
      message.remove();
      sendMessage(text);
    }),
  );
}

/** Show whether a reply is in progress; screen readers wait with the log until it is complete. */
function setRunning(yes) {
  passFocus(yes ? submit : stop, field);
  stop.hidden = !yes;
  submit.disabled = yes;
  log.setAttribute("aria-busy", String(yes));
}

function add(node, speaker) {
  node.prepend(element("span", "hidden", `${speaker}: `));
  log.append(node);
  toEnd();
  return node;
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

stop.addEventListener("click", () => running?.abort());
document.querySelector("#chat").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !composes(event)) running?.abort();
});

document.querySelector("#chat-new").addEventListener("click", () => {
  running?.abort();
  running = null;
  setRunning(false);
  thread = newThread();
  log.replaceChildren();
  document.querySelector("#chat .examples").hidden = false;
  field.focus();
});
