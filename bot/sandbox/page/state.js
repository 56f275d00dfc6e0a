// What this person sees, kept up to date by the server's changes.

import { say } from "./strings.js";

export const state = {
  you: "", bot: "", app: {}, users: new Map(), channels: new Map(), statuses: new Map(), panes: new Map(),
  home: null, modal: null, place: "", thread: null, unread: new Map(), online: true,
};

const ids = (list) => new Map(list.map((item) => [item.id, item]));
export const key = (channel, ts) => `${channel} ${ts}`;

export function replace(found) {
  state.you = found.you;
  state.bot = found.bot;
  state.app = found.app;
  state.users = ids(found.users);
  state.channels = ids(found.channels);
  for (const channel of state.channels.values()) channel.messages = byTs(channel.messages);
  for (const { channel, message } of found.ephemerals) state.channels.get(channel)?.messages.set(message.ts, message);
  state.statuses = new Map(found.statuses.map((s) => [key(s.channel, s.thread_ts), s.status]));
  state.panes = new Map(found.panes.map((p) => [key(p.channel, p.thread_ts), p]));
  state.home = found.home;
  state.modal = found.modal;
}

const byTs = (messages) => new Map(messages.map((message) => [message.ts, message]));

export function apply({ kind, channel, data }) {
  const room = state.channels.get(channel);
  if (kind === "message" && room) room.messages.set(data.ts, data);
  else if (kind === "removed" && room) room.messages.delete(data.ts);
  else if (kind === "status") {
    if (data.status) state.statuses.set(key(channel, data.thread_ts), data.status);
    else state.statuses.delete(key(channel, data.thread_ts));
  } else if (kind === "pane") state.panes.set(key(channel, data.thread_ts), { channel, ...data });
  else if (kind === "home") state.home = data;
  else if (kind === "modal") state.modal = data;
  else if (kind === "modal_closed") state.modal = null;
  else if (kind === "connected") state.app.connected = data.connected;
}

const inOrder = (messages) => messages.sort((a, b) => Number(a.ts) - Number(b.ts) || (a.ts < b.ts ? -1 : 1));

export function topLevel(room) {
  return inOrder([...room.messages.values()].filter(
    (m) => !m.thread_ts || m.thread_ts === m.ts || m.subtype === "thread_broadcast"));
}

export function threadOf(room, ts) {
  return inOrder([...room.messages.values()].filter((m) => m.ts === ts || m.thread_ts === ts));
}

export function nameOf(id) {
  if (id === "USLACKBOT") return say("sandbox_name");
  return state.users.get(id)?.real_name ?? id;
}

export const titleOf = (room) =>
  room.direct ? room.members.filter((id) => id !== state.you).map(nameOf).join(", ") : room.name;
export const botIsIn = (room) => room.members.includes(state.bot);
