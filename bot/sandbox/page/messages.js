// One message as a row, and lists of rows that change without being built anew.

import { act } from "./api.js";
import { blocks } from "./blocks.js";
import { button, h, icon } from "./dom.js";
import { emoji } from "./emoji.js";
import { choose } from "./menu.js";
import { mrkdwn } from "./mrkdwn.js";
import { key, nameOf, state } from "./state.js";
import { say } from "./strings.js";

const HUES = [188, 262, 24, 338, 142, 210, 48];
const hue = (id) => HUES[[...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 0) % HUES.length];

export function avatar(id, small = false) {
  const face = id === state.bot ? "🤖" : id === "USLACKBOT" ? "ℹ" : [...nameOf(id)][0].toUpperCase();
  const made = h("span", { class: small ? "avatar small" : "avatar", "aria-hidden": "true", text: face });
  made.style.setProperty("--hue", hue(id));
  return made;
}

const clock = (ts) => new Date(Number(ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const day = (ts) => new Date(Number(ts) * 1000).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });

// Keeps `list` showing `messages`: rows that did not change stay, so that focus and selection do too.
export function show(list, messages, channel, view) {
  const stick = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = [];
  let lastDay = "";
  let before = null;
  for (const message of messages) {
    if (!view.inThread && day(message.ts) !== lastDay) {
      lastDay = day(message.ts);
      wanted.push(reuse(old, `day ${lastDay}`, "", () => h("div", { class: "day", role: "separator" }, h("span", { text: lastDay }))));
      before = null;
    }
    const joined = before && before.user === message.user && before.bot_id === message.bot_id && !before.is_ephemeral === !message.is_ephemeral
      && !message.subtype && !before.subtype && Number(message.ts) - Number(before.ts) < 300;
    const status = view.inThread ? "" : state.statuses.get(key(channel.id, message.ts)) ?? "";
    const pane = message.subtype === "assistant_app_thread" && state.panes.get(key(channel.id, message.ts))?.title;
    const mark = JSON.stringify([message, joined, status, pane, state.you]);
    wanted.push(reuse(old, message.ts, mark, () => row(message, channel, view, joined, status)));
    before = message;
  }
  if (view.footer) wanted.push(reuse(old, "footer", JSON.stringify(view.footer.mark), view.footer.make));
  wanted.forEach((node, index) => { if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null); });
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  if (stick || view.fresh) list.scrollTop = list.scrollHeight;
}

function reuse(old, name, mark, make) {
  const found = old.get(name);
  if (found && found.mark === mark) return found;
  const made = make();
  made.dataset.key = name;
  made.mark = mark;
  return made;
}

function row(message, channel, view, joined, status) {
  if (message.subtype === "channel_join") return h("div", { class: "system", data: { ts: message.ts } }, mrkdwn(say("sandbox_joined", { user: `<@${message.user}>` })));
  if (message.subtype === "assistant_app_thread" && view.inThread) return h("div", { class: "system", text: say("sandbox_new_conversation") });
  const fromApp = message.bot_id !== undefined;
  const ephemeral = message.is_ephemeral;
  const name = message.username ?? nameOf(message.user);
  const made = h("article", {
    class: ["message", joined && "joined", ephemeral && "ephemeral", message.streaming_state === "in_progress" && "writing"].filter(Boolean).join(" "),
    data: { ts: message.ts, user: message.user ?? "" }, "aria-label": `${name}, ${clock(message.ts)}`,
  },
    h("div", { class: "gutter" }, joined ? h("time", { text: clock(message.ts) }) : avatar(message.user ?? name)),
    h("div", { class: "content" },
      ephemeral && h("div", { class: "only-you" }, icon("eye"), say("sandbox_only_you")),
      !joined && h("div", { class: "who" }, h("strong", { text: name }), fromApp && h("span", { class: "badge", text: say("sandbox_badge") }), h("time", { text: clock(message.ts) })),
      body(message, channel, view),
      files(message), reactions(message, channel, view), replies(message, channel, view),
      status && h("div", { class: "status" }, h("span", { class: "dots" }), `${nameOf(state.bot)} ${status}`)),
    tools(message, channel, view));
  return made;
}

function body(message, channel, view) {
  if (message.subtype === "assistant_app_thread") return conversation(message, channel, view);
  const press = (action_id, value) =>
    view.did(act("press", state.you, { channel: channel.id, ts: message.ts, action_id, value }));
  if (message.subtype === "tombstone") return h("div", { class: "body" }, h("div", { class: "text", text: say("sandbox_deleted") }));
  const own = message.blocks?.length && !(message.client_msg_id && message.blocks.every((b) => b.type === "rich_text"));
  return h("div", { class: "body" },
    own ? blocks(message.blocks, press) : h("div", { class: "text" }, mrkdwn(message.text ?? "")),
    message.edited && h("span", { class: "edited", text: ` ${say("sandbox_edited")}` }),
    (message.attachments ?? []).map((part) => h("div", { class: "attachment" }, part.blocks ? blocks(part.blocks, press) : mrkdwn(part.text ?? part.fallback ?? ""))));
}

function conversation(message, channel, view) {
  const title = state.panes.get(key(channel.id, message.ts))?.title || say("sandbox_new_conversation");
  return h("div", { class: "body" }, h("button", { type: "button", class: "button small", text: say("sandbox_open", { title }),
    onclick: () => view.openThread(channel.id, message.ts) }));
}

function files(message) {
  return (message.files ?? []).map((file) => file.mimetype.startsWith("image/") && file.size
    ? h("figure", {}, h("figcaption", { text: file.title }), h("img", { class: "large", src: `/files/${file.id}`, alt: file.alt_txt || file.title }))
    : h("div", { class: "file" }, icon("file"), h("span", { text: file.title })));
}

function reactions(message, channel, view) {
  if (!message.reactions?.length) return null;
  return h("div", { class: "reactions" }, message.reactions.map((reaction) =>
    h("button", { type: "button", class: reaction.users.includes(state.you) ? "mine" : "", title: reaction.users.map(nameOf).join(", "),
      onclick: () => view.did(act("react", state.you, { channel: channel.id, ts: message.ts, emoji: reaction.name })) },
      emoji(reaction.name), " ", String(reaction.count))));
}

function replies(message, channel, view) {
  if (view.inThread || !message.reply_count) return null;
  const count = message.reply_count;
  return h("button", { type: "button", class: "replies", onclick: () => view.openThread(channel.id, message.ts) },
    (message.reply_users ?? []).map((user) => avatar(user, true)),
    h("span", { class: "count", text: count === 1 ? say("sandbox_reply_one") : say("sandbox_replies", { count }) }),
    h("span", { class: "last", text: say("sandbox_last_reply", { time: clock(message.latest_reply) }) }));
}

function tools(message, channel, view) {
  if (message.subtype === "tombstone") return null;
  const at = { channel: channel.id, ts: message.ts };
  const items = [];
  if (!message.is_ephemeral) {
    for (const shortcut of state.app.shortcuts)
      items.push({ label: shortcut.name, run: () => view.did(act("shortcut", state.you, { ...at, callback_id: shortcut.callback_id })) });
    if (message.user === state.you) {
      items.push({ label: say("sandbox_edit"), run: () => view.edit(message) });
      items.push({ label: say("sandbox_delete"), danger: true, run: () => view.did(act("delete", state.you, at)) });
    }
  }
  if (message.is_ephemeral) return null;
  return h("div", { class: "tools", role: "group", "aria-label": say("sandbox_actions") },
    button(say("sandbox_react"), "smile", () => view.did(act("react", state.you, { ...at, emoji: "+1" }))),
    !view.inThread && button(say("sandbox_reply"), "reply", () => view.openThread(channel.id, message.ts)),
    items.length && button(say("sandbox_more_actions"), "more", (event) => choose(event.currentTarget, items), { "aria-haspopup": "menu" }));
}
