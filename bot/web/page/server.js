// Talking to the bot: the token, the streamed answer, and what went wrong in words.
import { has, say } from "./words.js";

const KEY = "token";

export class Failed extends Error {}

/** Post to /api/infer and hand over its events as [name, data] while they arrive. */
export async function* infer(body, signal) {
  const answer = await post(body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  let finished = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    held += value;
    let end;
    while ((end = held.indexOf("\n\n")) >= 0) {
      const fields = Object.fromEntries(held.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
      held = held.slice(end + 2);
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new Failed(told(data.error));
      finished ||= fields.event === "done";
      yield [fields.event, data];
    }
  }
  if (!finished) throw new Failed(say("lost"));
}

/** What went wrong in the page's language where it has words for it, else as the server says it. */
function told({ code, message }) {
  return has(`failed_${code}`) ? say(`failed_${code}`) : say("failed", { message });
}

async function post(body, signal) {
  let refused = false;
  for (;;) {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const token = sessionStorage.getItem(KEY);
    if (token) headers.Authorization = `Bearer ${token}`;
    let answer;
    try {
      answer = await fetch("/api/infer", { method: "POST", headers, body: JSON.stringify(body), signal });
    } catch (problem) {
      throw problem.name === "AbortError" ? problem : new Failed(say("lost"));
    }
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    const reason = error ?? { message: `HTTP ${answer.status}` };
    if (answer.status !== 401 || !(await askToken(refused))) throw new Failed(told(reason));
    refused = true;
  }
}

/** Ask for the token; whether there is one now. */
function askToken(wrong) {
  const dialog = document.querySelector("#token");
  const field = document.querySelector("#token-text");
  document.querySelector("#token-wrong").hidden = !wrong;
  field.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  field.focus();
  // Enter in the field presses the first button of the form, which is the one that cancels.
  field.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("use");
  };
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "use" ? field.value.trim() : "";
        if (given) sessionStorage.setItem(KEY, given);
        resolve(Boolean(given));
      },
      { once: true },
    );
  });
}
