// Requests to the bot: the token, the streamed events, and error messages.
import { has, say } from "./strings.js";

const KEY = "token";
const UNCHANGED = new Set(["bad_request", "too_long", "too_large", "too_many_lines"]); // fail again as they are

/** What went wrong, in the page's language. `again`: whether trying again may help; `html`: the reply so far. */
export class Failed extends Error {
  constructor(message, again = true, html = null) {
    super(message);
    this.again = again;
    this.html = html;
  }
}

/** Post to the bot and yield its events as [name, data] while they arrive. Throws Failed, and AbortError. */
export async function* ask(path, body, signal) {
  const response = await post(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reached(reader.read());
    if (done) throw lost();
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const fields = Object.fromEntries(buffer.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
      buffer = buffer.slice(end + 2);
      if (fields.data === undefined) continue; // a comment, sent where nothing else is for long
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw failure(data.error, data.html);
      yield [fields.event, data];
      if (fields.event === "done") return;
    }
  }
}

/** What a promise of the network gives; where the network fails, a sentence. */
async function reached(promise) {
  try {
    return await promise;
  } catch (problem) {
    throw problem.name === "AbortError" ? problem : lost();
  }
}

/** The network failed: what shows whether the bot is there should look at once. */
function lost() {
  document.dispatchEvent(new Event("lost"));
  return new Failed(say("page_lost"));
}

/** An error in the page's language where the catalogue has it, else in the server's words. */
function failure({ code, message }, html = null) {
  const known = has(`page_failed_${code}`);
  return new Failed(known ? say(`page_failed_${code}`) : say("page_failed", { message }), !UNCHANGED.has(code), html);
}

async function post(path, body, signal) {
  for (;;) {
    const headers = { "Content-Type": "application/json", Accept: "text/event-stream" };
    const token = sessionStorage.getItem(KEY);
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await reached(fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    const reason = error ?? { message: `HTTP ${response.status}` };
    if (response.status !== 401 || !(await askToken(Boolean(token)))) throw failure(reason);
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
