// The app's Home tab, and its modals.

import { act } from "./api.js";
import { blocks } from "./blocks.js";
import { h } from "./dom.js";
import { plain } from "./mrkdwn.js";
import { state } from "./state.js";
import { say } from "./strings.js";

export function home(did) {
  if (!state.home)
    return h("div", { class: "empty" }, h("p", { text: state.app.connected ? say("sandbox_home_empty") : say("sandbox_home_not_connected") }));
  const view = state.home;
  return h("div", { class: "home" }, blocks(view.blocks, (action_id, value) =>
    did(act("press_view", state.you, { view_id: view.id, action_id, value }))));
}

export function modal(dialog, did, errors = {}) {
  const view = state.modal;
  if (!view) {
    if (dialog.open) dialog.close();
    return;
  }
  const press = (action_id, value) => did(act("press_view", state.you, { view_id: view.id, action_id, value }));
  const form = h("form", { method: "dialog", onsubmit: (event) => {
    event.preventDefault();
    did(act("submit", state.you, { view_id: view.id, values: values(form) }));
  } },
    h("h2", {}, plain(view.title.text)),
    h("div", { class: "modal-body" }, blocks(view.blocks, press)),
    Object.values(errors).map((text) => h("p", { class: "problem", text })),
    h("div", { class: "dialog-buttons" },
      h("button", { type: "button", class: "button", onclick: () => did(act("close_view", state.you, { view_id: view.id })) }, plain(view.close?.text ?? say("sandbox_close"))),
      view.submit && h("button", { type: "submit", class: "button primary" }, plain(view.submit.text))));
  dialog.replaceChildren(form);
  dialog.oncancel = (event) => {
    event.preventDefault();
    did(act("close_view", state.you, { view_id: view.id }));
  };
  if (!dialog.open) dialog.showModal();
}

function values(form) {
  const found = {};
  for (const field of form.querySelectorAll("[data-block]")) {
    const { block, action, kind } = field.dataset;
    found[block] = { [action]: { type: kind, ...valueOf(field, kind) } };
  }
  return found;
}

function valueOf(field, kind) {
  if (kind === "plain_text_input") return { value: field.value || null };
  const option = (value, label) => ({ value, text: { type: "plain_text", text: label } });
  if (field.tagName === "SELECT")
    return { selected_option: field.value ? option(field.value, field.selectedOptions[0].textContent) : null };
  const on = [...field.querySelectorAll("input:checked")].map((box) => option(box.value, box.parentElement.textContent.trim()));
  return kind === "checkboxes" ? { selected_options: on } : { selected_option: on[0] ?? null };
}
