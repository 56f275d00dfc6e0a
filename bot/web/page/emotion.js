// The emotion box: a text's label with its confidence, on request the feeling and the evidence; or many lines.
import { button, composes, element, focusOn, giveBack, passFocus, scrollable } from "./dom.js";
import { judgeLines, leftOut } from "./lines.js";
import { ask } from "./server.js";
import { say } from "./strings.js";

const results = document.querySelector("#results");
const field = document.querySelector("#emotion-text");
const TAG = "#EMOTION#";

/** Judge a text, or with `lines` each of them by itself. */
export function classify(text, lines = null) {
  const item = element("li", "result");
  results.prepend(item);
  results.scrollTop = 0;
  return lines ? judgeLines(item, lines, () => giveBack(field, text)) : judge(item, text);
}

async function judge(item, text) {
  const line = element("p", "line wait", say("page_classifying"));
  const quote = element("p", "quote", text);
  item.replaceChildren(line, quote);
  if (quote.scrollHeight > quote.clientHeight) scrollable(quote, say("page_emotion_label"));
  try {
    for await (const [event, data] of ask("/api/infer", { text: TAG + text })) {
      if (event !== "emotion") continue;
      line.className = "line";
      line.replaceChildren(...labelled(data));
      quote.before(confidence(data.emotion, actions(item, text)), ...leftOut(data.emotion));
    }
  } catch (problem) {
    line.className = "wrong";
    line.textContent = problem.message;
    if (problem.again) {
      line.after(
        button("again", say("again"), () => {
          focusOn(item);
          judge(item, text);
        }),
      );
    } else giveBack(field, text);
  }
}

/** The fixed line, and behind it the label's word for who reads no Chinese. */
function labelled({ line, word }) {
  return word ? [line, " ", element("span", "word", word)] : [line];
}

function confidence({ confidence: share }, ...rest) {
  const row = element("div", "confidence");
  const percent = Math.round(share * 100);
  const bar = element("progress");
  bar.max = 100;
  bar.value = percent;
  const label = element("span", "", say("confidence", { percent }));
  bar.setAttribute("aria-label", label.textContent);
  row.append(bar, label, ...rest);
  return row;
}

function actions(item, text) {
  const row = element("span", "actions");
  if ("feelings" in document.body.dataset) {
    row.append(action(say("page_feelings"), { text, mode: "feelings" }, (data) => {
      const finer = element("div", "finer");
      const line = element("p", "line");
      line.append(...labelled(data));
      finer.append(line, confidence(data.emotion), ...leftOut(data.emotion));
      item.querySelector(".quote").before(finer);
      return finer;
    }));
  }
  row.append(action(say("page_why"), { text: TAG + text, explain: true }, ({ emotion }) => {
    const { evidence, explanation } = emotion;
    const because = element("p", "because", evidence?.length ? explanation : say("page_no_evidence"));
    item.querySelector(".quote").replaceChildren(...marked(text, evidence ?? []));
    item.append(because);
    return because;
  }));
  return row;
}

/** A button that asks one thing: meanwhile it stops it, and what `show` returns takes its place. */
function action(name, body, show) {
  const place = element("span", "action");
  const wait = element("span", "asking");
  const bar = element("progress");
  wait.append(bar, element("span"));
  let asking = null;
  const made = button("why", name, async () => {
    if (asking) {
      asking.abort();
      return;
    }
    asking = new AbortController();
    made.textContent = say("page_chat_stop");
    made.dataset.stops = "";
    wait.lastChild.textContent = say("page_why_wait");
    wait.className = "asking";
    bar.hidden = false;
    bar.setAttribute("aria-label", name);
    made.before(wait);
    try {
      for await (const [event, data] of ask("/api/infer", body, asking.signal)) {
        if (event !== "emotion") continue;
        passFocus(made, show(data));
        place.remove();
      }
    } catch (problem) {
      made.textContent = name;
      if (problem.name === "AbortError") wait.remove();
      else {
        bar.hidden = true;
        wait.className = "wrong";
        wait.lastChild.textContent = problem.message;
        made.textContent = problem.again ? say("again") : name;
      }
    } finally {
      asking = null;
      delete made.dataset.stops;
    }
  });
  place.append(made);
  return place;
}

/** The text with its evidence marked. Positions count characters, as Python does, not UTF-16 units. */
function marked(text, evidence) {
  const characters = [...text.trim()];
  const found = [];
  let at = 0;
  for (const { start, end, weight } of [...evidence].sort((a, b) => a.start - b.start)) {
    if (start < at) continue;
    const mark = element("mark", weight < 0 ? "against" : "", characters.slice(start, end).join(""));
    found.push(characters.slice(at, start).join(""), mark);
    at = end;
  }
  return [...found, characters.slice(at).join("")];
}

// Escape stops what is asked in the result with the focus, from elsewhere the newest.
document.querySelector("#emotion").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || composes(event)) return;
  const near = event.target.closest(".action, .result") ?? results;
  near.querySelector("[data-stops]")?.click();
});
