// Many lines: a row for each, as it is judged.
import { button, element, passFocus } from "./dom.js";
import { ask } from "./server.js";
import { say } from "./strings.js";

/** The lines of a text that have something in them. */
export function linesOf(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

/** What says that the middle of a very long text was not read; nothing where all of it was. */
export function leftOut({ omitted }) {
  const count = omitted.toLocaleString(document.documentElement.lang);
  return omitted ? [element("p", "omitted", say("omitted", { count }))] : [];
}

/** Judge each line in a row of its own in `item`; `refuse` is called where they cannot be judged as they are. */
export async function judgeLines(item, lines, refuse) {
  const status = element("p", "line");
  const bar = element("progress");
  const wrong = element("p", "wrong");
  const table = element("table", "lines");
  const rows = element("tbody");
  bar.max = lines.length;
  bar.setAttribute("aria-label", say("page_classifying"));
  table.append(rows);
  let asking = null;
  const press = button("why", say("page_chat_stop"), () => (asking ? asking.abort() : run()));
  const row = element("div", "confidence");
  row.append(bar, wrong, press);
  item.append(status, row, table);

  const soFar = () => ({ done: rows.childElementCount, count: lines.length });

  function progress() {
    bar.value = rows.childElementCount;
    status.textContent = say("page_lines_progress", soFar());
  }

  async function run() {
    asking = new AbortController();
    press.textContent = say("page_chat_stop");
    press.dataset.stops = "";
    wrong.textContent = "";
    bar.hidden = false;
    item.setAttribute("aria-busy", "true");
    progress();
    try {
      const rest = lines.slice(rows.childElementCount);
      for await (const [event, data] of ask("/api/lines", { lines: rest }, asking.signal)) {
        if (event !== "lines") continue;
        for (const judged of data.lines) rows.append(rowOf(judged, lines[rows.childElementCount]));
        progress();
      }
      passFocus(press, status);
      row.remove();
      status.textContent = say("page_lines_done", soFar());
    } catch (problem) {
      if (problem.name !== "AbortError") wrong.textContent = problem.message;
      bar.hidden = true;
      press.textContent = problem.name === "AbortError" ? say("page_lines_continue") : say("again");
      status.textContent = say("page_lines_stopped", soFar());
      if (problem.again === false) {
        passFocus(press, status);
        press.remove();
        refuse();
      }
    } finally {
      asking = null;
      delete press.dataset.stops;
      item.removeAttribute("aria-busy");
    }
  }
  await run();
}

function rowOf(judged, text) {
  const row = element("tr");
  const label = element("td", "label", judged ? `${judged.emoji} ${judged.label}` : "–");
  const share = judged ? `${Math.round(judged.confidence * 100)}%` : "";
  const cell = element("td", "text", text);
  if (judged?.word) label.append(" ", element("span", "word", judged.word));
  if (judged) cell.append(...leftOut(judged));
  row.append(label, element("td", "share", share), cell);
  return row;
}
