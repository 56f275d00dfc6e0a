// The page: what is shown where, and what happens when the workspace changes.

import { act, listen, load } from "./api.js";
import { composer, explain } from "./composer.js";
import { button, h } from "./dom.js";
import { closeMenu } from "./menu.js";
import { avatar, show } from "./messages.js";
import { sidebar } from "./sidebar.js";
import { apply, botIsIn, key, nameOf, replace, state, threadOf, titleOf, topLevel } from "./state.js";
import { say } from "./strings.js";
import { home, modal } from "./views.js";

const parts = { side: document.getElementById("sidebar"), main: document.getElementById("main"),
  thread: document.getElementById("thread"), dialog: document.getElementById("dialog"), notices: document.getElementById("notices") };
let stream = null;
let lists = { main: null, thread: null };

function notice(text) {
  const made = h("div", { class: "notice", text });
  parts.notices.append(made);
  setTimeout(() => made.remove(), 6000);
}

// Shows what went wrong with something a person did.
function did(promise) {
  return promise.catch((error) => notice(explain(error.message)));
}

// --- who and where ---

async function become(user) {
  stream?.close();
  const mine = listen(user, changed, () => did(refresh(user)), () => { state.online = false; drawSide(); });
  stream = mine;
  await mine.ready;
  if (stream !== mine) return; // somebody else was chosen meanwhile
  state.unread.clear();
  await refresh(user);
}

async function refresh(user) {
  replace(await load(user));
  state.online = true;
  sessionStorage.setItem("you", state.you);
  const [place, thread] = decodeURIComponent(location.hash.slice(1)).split("/");
  go(state.channels.has(place) || place === "home" ? place : [...state.channels.keys()][0], thread || null, false);
}

function go(place, thread = null, told = true) {
  closeMenu();
  state.place = place;
  state.thread = thread && state.channels.get(place)?.messages.has(thread) ? thread : null;
  state.unread.delete(place);
  document.body.classList.remove("sidebar-open");
  history.replaceState(null, "", `#${encodeURIComponent(place)}${state.thread ? `/${state.thread}` : ""}`);
  if (told) opened();
  drawSide();
  drawMain();
  drawThread();
  modal(parts.dialog, did);
}

function opened() {
  const room = state.channels.get(state.place);
  if (state.place === "home") did(act("open_home", state.you, { tab: "home" }));
  else if (room?.user) did(act("open_home", state.you, { tab: "messages" }));
  if (room && !room.user && state.thread === null) lookAt(room);
}

// An assistant thread that is open hears which channel is looked at.
function lookAt(room) {
  const pane = [...state.panes.values()].pop();
  if (pane) act("look_at", state.you, { thread_ts: pane.thread_ts, channel: room.id }).catch(() => {});
}

async function newChat() {
  const from = state.channels.get(state.place);
  const room = [...state.channels.values()].find((r) => r.user);
  const ts = await did(act("open_assistant", state.you, from && !from.user ? { viewed_channel: from.id } : {}));
  if (ts) whenSeen(room, ts, () => openThread(room.id, ts));
}

// The stream may tell of a message a little later than the answer to the call that made it.
function whenSeen(room, ts, run, tries = 40) {
  if (room.messages.has(ts)) run();
  else if (tries) setTimeout(() => whenSeen(room, ts, run, tries - 1), 50);
}

function openThread(place, ts) {
  const room = state.channels.get(place);
  go(place, room.messages.get(ts)?.thread_ts ?? ts, false);
  lists.threadComposer?.focus();
}

function closeThread() {
  state.thread = null;
  history.replaceState(null, "", `#${encodeURIComponent(state.place)}`);
  drawThread();
  lists.mainComposer?.focus();
}

// --- drawing ---

function drawSide() {
  const focused = document.activeElement?.dataset?.place ?? document.activeElement?.id;
  parts.side.replaceChildren(...sidebar({ become, go, newChat }));
  if (focused) (parts.side.querySelector(`[data-place="${CSS.escape(focused)}"]`) ?? document.getElementById(focused))?.focus?.();
}

function head(...children) {
  return h("header", { class: "bar" }, button(say("sandbox_channels"), "menu", () => document.body.classList.toggle("sidebar-open"), { class: "icon-button burger" }), ...children);
}

function drawMain() {
  lists.main = lists.mainComposer = null;
  if (state.place === "home") {
    parts.main.replaceChildren(head(avatar(state.bot, true), h("h1", { text: nameOf(state.bot) }), h("span", { class: "topic", text: say("sandbox_home") })), home(did));
    document.title = say("sandbox_title", { place: say("sandbox_home") });
    return;
  }
  const room = state.channels.get(state.place);
  const title = room.direct ? titleOf(room) : `# ${room.name}`;
  document.title = say("sandbox_title", { place: title });
  lists.main = h("div", { class: "messages", role: "log", "aria-label": say("sandbox_messages", { place: title }), tabindex: "0" });
  const member = room.members.includes(state.you);
  const entry = composer({ label: say("sandbox_message", { place: room.direct ? titleOf(room) : `#${room.name}` }), place: room.id, commands: commands(), send: (text) => send(room, text) });
  lists.mainComposer = entry;
  parts.main.replaceChildren(
    head(room.direct ? avatar(state.bot, true) : null, h("h1", { text: title }), h("span", { class: "topic", text: room.topic }),
      !room.user && !botIsIn(room) && h("button", { type: "button", class: "button small", id: "invite", text: say("sandbox_invite", { app: nameOf(state.bot) }), onclick: () => did(act("invite", state.you, { channel: room.id })) })),
    lists.main,
    member ? entry.node : h("div", { class: "composer" }, h("button", { type: "button", class: "button", text: say("sandbox_join", { channel: room.name }), onclick: () => did(act("join", state.you, { channel: room.id })) })));
  fillMain(true);
  if (matchMedia("(hover: hover)").matches) entry.focus();
}

function fillMain(fresh = false) {
  const room = state.channels.get(state.place);
  if (!room || !lists.main) return;
  const messages = topLevel(room).filter((m) => !(m.is_ephemeral && m.thread_ts));
  const footer = { mark: [messages.length === 0], make: () => (messages.length ? h("div") : h("div", { class: "empty" },
    h("p", { text: room.direct ? say("sandbox_beginning_direct", { app: titleOf(room) }) : say("sandbox_beginning", { channel: room.name }) }),
    h("p", { text: say("sandbox_beginning_hint") }))) };
  show(lists.main, messages, room, { openThread, did, edit: editing(room), fresh, footer });
}

function drawThread() {
  lists.thread = lists.threadComposer = null;
  const room = state.channels.get(state.place);
  parts.thread.hidden = !state.thread || !room;
  document.body.classList.toggle("thread-open", !parts.thread.hidden);
  if (parts.thread.hidden) return;
  const ts = state.thread;
  lists.thread = h("div", { class: "messages", role: "log", "aria-label": say("sandbox_messages_thread"), tabindex: "0" });
  lists.threadComposer = composer({ label: say("sandbox_reply_label"), place: key(room.id, ts), commands: null, send: (text) => send(room, text, ts) });
  const title = state.panes.get(key(room.id, ts))?.title;
  parts.thread.replaceChildren(
    h("header", { class: "bar" }, h("h1", { text: title || say("sandbox_thread") }), h("span", { class: "topic", text: room.direct ? titleOf(room) : `# ${room.name}` }),
      button(say("sandbox_close_thread"), "close", closeThread)),
    lists.thread, lists.threadComposer.node);
  fillThread(true);
}

function fillThread(fresh = false) {
  const room = state.channels.get(state.place);
  if (!room || !lists.thread) return;
  const messages = threadOf(room, state.thread);
  if (!messages.length) { closeThread(); return; }
  const status = state.statuses.get(key(room.id, state.thread)) ?? "";
  const pane = state.panes.get(key(room.id, state.thread));
  const prompts = pane && !messages.some((m) => m.user === state.you) ? pane.prompts : [];
  const footer = { mark: [status, prompts], make: () => h("div", {},
    prompts.length > 0 && h("div", { class: "prompts" }, pane.prompts_title && h("p", { text: pane.prompts_title }),
      prompts.map((prompt) => h("button", { type: "button", class: "button", text: prompt.title, onclick: () => did(send(room, prompt.message, state.thread)) }))),
    status && h("div", { class: "status", role: "status" }, h("span", { class: "dots" }), `${nameOf(state.bot)} ${status}`)) };
  show(lists.thread, messages, room, { inThread: true, openThread, did, edit: editing(room), fresh, footer });
}

// --- doing ---

function commands() {
  return [...state.app.commands, { name: "/invite", usage_hint: `@${nameOf(state.bot)}`, description: say("sandbox_invite_note") }];
}

async function send(room, text, thread = null) {
  const command = /^(\/[a-z][\w-]*)(?:\s+([\s\S]*))?$/.exec(text);
  try {
    if (command && thread) throw new Error("commands_in_threads");
    if (command?.[1] === "/invite") await act("invite", state.you, { channel: room.id });
    else if (command) await act("command", state.you, { channel: room.id, command: command[1], text: command[2] ?? "" });
    else await act("post", state.you, { channel: room.id, text, thread_ts: thread });
  } catch (error) {
    throw new Error(explain(error.message));
  }
}

function editing(room) {
  return (message) => {
    const field = h("textarea", { "aria-label": say("sandbox_edit"), rows: "4", text: message.text.replace(/<@(\w+)>/g, (_, id) => `@${nameOf(id)}`)
      .replace(/<(https?:[^<>|]+)>/g, "$1").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&") });
    const form = h("form", { method: "dialog", onsubmit: () => did(act("edit", state.you, { channel: room.id, ts: message.ts, text: field.value })) },
      h("h2", { text: say("sandbox_edit") }), field,
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button", text: say("sandbox_cancel"), onclick: () => parts.dialog.close() }),
        h("button", { type: "submit", class: "button primary", text: say("sandbox_save") })));
    parts.dialog.replaceChildren(form);
    parts.dialog.oncancel = null;
    parts.dialog.showModal();
  };
}

// --- being told ---

function changed(change) {
  if (change.kind === "notice") { notice(change.data.text); return; }
  if (change.kind === "channels") { did(refresh(state.you)); return; }
  if (change.kind === "modal_errors") { modal(parts.dialog, did, change.data.errors); return; }
  const known = state.channels.get(change.channel)?.messages.has(change.data.ts);
  apply(change);
  if (change.kind === "message" && !known && change.channel !== state.place && change.data.user !== state.you) {
    state.unread.set(change.channel, (state.unread.get(change.channel) ?? 0) + 1);
    drawSide();
  }
  if (change.kind === "connected") drawSide();
  else if (change.kind === "home") { if (state.place === "home") drawMain(); }
  else if (change.kind === "modal" || change.kind === "modal_closed") modal(parts.dialog, did);
  else if (change.kind === "pane") {
    if (lists.thread) parts.thread.querySelector("h1").textContent = state.panes.get(key(state.place, state.thread))?.title || say("sandbox_thread");
    fillMain();
    fillThread();
  } else if (change.channel === state.place) {
    fillMain();
    fillThread();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.thread && !parts.dialog.open && !document.querySelector("dialog[open]")) closeThread();
});
document.addEventListener("pointerdown", (event) => {
  if (document.body.classList.contains("sidebar-open") && !parts.side.contains(event.target) && !event.target.closest(".burger"))
    document.body.classList.remove("sidebar-open");
});

become(new URLSearchParams(location.search).get("user") ?? sessionStorage.getItem("you") ?? "Ada").catch((error) => {
  parts.main.replaceChildren(h("div", { class: "empty" }, h("p", { text: explain(error.message) })));
});
