// The emotion box: each text's label with its confidence, and on request the evidence for it.
import { infer } from "./server.js";
import { element, say } from "./strings.js";

const results = document.querySelector("#results");
const TAG = "#EMOTION#";

export async function classify(text) {
  const item = element("li", "result");
  const line = element("p", "line wait", say("page_classifying"));
  const quote = element("p", "quote", text);
  item.append(line, quote);
  results.prepend(item);
  results.scrollTop = 0;
  try {
    for await (const [event, data] of infer({ text: TAG + text })) {
      if (event !== "emotion") continue;
      line.textContent = data.line;
      line.classList.remove("wait");
      quote.before(confidenceRow(item, text, data.emotion));
    }
  } catch (problem) {
    line.className = "wrong";
    line.textContent = problem.message;
  }
}

function confidenceRow(item, text, emotion) {
  const row = element("div", "confidence");
  const percent = percentOf(emotion);
  const bar = element("progress");
  bar.max = 100;
  bar.value = percent;
  const label = element("span", "", say("confidence", { percent }));
  bar.setAttribute("aria-label", label.textContent);
  const why = element("button", "why", say("page_why"));
  why.type = "button";
  why.addEventListener("click", () => explain(item, text, why));
  const actions = element("span", "actions");
  row.append(bar, label, actions);
  if ("feelings" in document.body.dataset) {
    const feelings = element("button", "why", say("page_feelings"));
    feelings.type = "button";
    feelings.addEventListener("click", () => showFeeling(item, text, feelings));
    actions.append(feelings);
  }
  actions.append(why);
  return row;
}

/** The finer feeling, under the main line. */
async function showFeeling(item, text, button) {
  button.disabled = true;
  const line = element("p", "feeling wait", say("page_classifying"));
  item.querySelector(".line").after(line);
  try {
    for await (const [event, data] of infer({ text, mode: "feelings" })) {
      if (event !== "emotion") continue;
      line.textContent = `${data.line} · ${say("confidence", { percent: percentOf(data.emotion) })}`;
      line.classList.remove("wait");
      button.remove();
    }
  } catch (problem) {
    line.className = "feeling wrong";
    line.textContent = problem.message;
    button.disabled = false;
  }
}

function percentOf({ confidence }) {
  return Math.round(confidence * 100);
}

async function explain(item, text, why) {
  why.disabled = true;
  const because = element("p", "because wait", say("page_why_wait"));
  item.append(because);
  try {
    for await (const [event, data] of infer({ text: TAG + text, explain: true })) {
      if (event !== "emotion") continue;
      const { evidence, explanation } = data.emotion;
      item.querySelector(".quote").replaceChildren(...marked(text, evidence ?? []));
      because.textContent = evidence?.length ? explanation : say("page_no_evidence");
      because.classList.remove("wait");
      why.remove();
    }
  } catch (problem) {
    because.className = "because wrong";
    because.textContent = problem.message;
    why.disabled = false;
  }
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
