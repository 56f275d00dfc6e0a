// Requests to the bot: the token, the streamed events, and error messages.
import { has, say } from "./strings.js";

const KEY = "token";

export class Failed extends Error {}

/** Post to /api/infer and yield its events as [name, data] while they arrive. */
export async function* infer(body, signal) {
  const response = await post(body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  let finished = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const fields = Object.fromEntries(buffer.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
      buffer = buffer.slice(end + 2);
      if (fields.data === undefined) continue; // a comment, sent where nothing else is for long
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new Failed(errorText(data.error));
      finished ||= fields.event === "done";
      yield [fields.event, data];
    }
  }
  if (!finished) throw new Failed(say("page_lost"));
}

/** An error in the page's language where the catalogue has it, else in the server's words. */
function errorText({ code, message }) {
  return has(`page_failed_${code}`) ? say(`page_failed_${code}`) : say("page_failed", { message });
}

async function post(body, signal) {
  let refused = false;
  for (;;) {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const token = sessionStorage.getItem(KEY);
    if (token) headers.Authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch("/api/infer", { method: "POST", headers, body: JSON.stringify(body), signal });
    } catch (problem) {
      throw problem.name === "AbortError" ? problem : new Failed(say("page_lost"));
    }
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    const reason = error ?? { message: `HTTP ${response.status}` };
    if (response.status !== 401 || !(await askToken(refused))) throw new Failed(errorText(reason));
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
