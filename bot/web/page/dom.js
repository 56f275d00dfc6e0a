// Elements, the keyboard, and the focus, which stays with the person when what has it goes away.
import { say } from "./strings.js";

/** An element with a class and a text; text is never read as HTML. */
export function element(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

export function button(kind, text, press) {
  const made = element("button", kind, text);
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}

/** Whether a key belongs to an input method that composes a word. Safari says so by the code 229 only. */
export function composes(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Before `leaving` is hidden, disabled or removed: a focus in it goes to `next`. */
export function passFocus(leaving, next) {
  if (leaving.contains(document.activeElement)) focusOn(next);
}

export function focusOn(node) {
  if (node.tabIndex < 0 && !node.hasAttribute("tabindex")) node.tabIndex = -1;
  node.focus({ preventScroll: true });
}

/** Put a text that was not taken back into its field, unless another has been begun there. */
export function giveBack(field, text) {
  if (field.value) return;
  field.value = text;
  field.dispatchEvent(new Event("input"));
}

/** Let the keyboard scroll what is larger than its place, and screen readers name it. */
export function scrollable(node, name) {
  node.tabIndex = 0;
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", name);
}

/** Show HTML that the server has sanitized; blocks that stay the same keep selection, scrolling and focus. */
export function showHtml(target, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const node of template.content.querySelectorAll("pre")) scrollable(node, say("page_code"));
  for (const node of template.content.querySelectorAll("div.table")) scrollable(node, say("page_table"));
  const stops = () => [...target.querySelectorAll("a, [tabindex]")];
  const at = stops().indexOf(document.activeElement);
  const fresh = [...template.content.childNodes];
  fresh.forEach((node, index) => {
    const old = target.childNodes[index];
    if (!old) target.append(node);
    else if (!old.isEqualNode(node)) old.replaceWith(node);
  });
  while (target.childNodes.length > fresh.length) target.lastChild.remove();
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
}
