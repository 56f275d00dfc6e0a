// A menu that opens at a button, and the question that is asked before a button with `confirm` acts.

import { h } from "./dom.js";
import { mrkdwn, plain } from "./mrkdwn.js";

let open = null;

export function closeMenu() {
  open?.close();
}

export function choose(anchor, items) {
  closeMenu();
  const menu = h("div", { class: "menu", role: "menu" }, items.map((item) =>
    h("button", { type: "button", role: "menuitem", class: item.danger ? "danger" : "", text: item.label,
      onclick: () => { close(); item.run(); } })));
  const away = (event) => { if (!menu.contains(event.target)) close(false); };
  function close(focus = true) {
    menu.remove();
    document.removeEventListener("pointerdown", away, true);
    open = null;
    if (focus) anchor.focus();
  }
  menu.addEventListener("keydown", (event) => {
    const buttons = [...menu.children];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "ArrowDown") buttons[(at + 1) % buttons.length].focus();
    else if (event.key === "ArrowUp") buttons[(at - 1 + buttons.length) % buttons.length].focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") { close(false); return; }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const box = anchor.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(box.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8))}px`;
  const below = box.bottom + 4;
  menu.style.top = `${below + menu.offsetHeight > innerHeight ? Math.max(8, box.top - menu.offsetHeight - 4) : below}px`;
  document.addEventListener("pointerdown", away, true);
  open = { close };
  menu.firstElementChild?.focus();
}

export function confirmFirst(ask, run) {
  if (!ask) { run(); return; }
  const dialog = h("dialog", { class: "confirm" },
    h("form", { method: "dialog" },
      h("h2", {}, plain(ask.title.text)),
      h("p", {}, ask.text.type === "mrkdwn" ? mrkdwn(ask.text.text) : plain(ask.text.text)),
      h("div", { class: "dialog-buttons" },
        h("button", { class: "button", value: "no" }, plain(ask.deny.text)),
        h("button", { class: `button ${ask.style ?? "primary"}`, value: "yes" }, plain(ask.confirm.text)))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") run();
  });
  document.body.append(dialog);
  dialog.showModal();
}
