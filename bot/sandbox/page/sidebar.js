// Channels, direct messages, the app's own places, and who one is.

import { h, icon } from "./dom.js";
import { avatar } from "./messages.js";
import { state, titleOf } from "./state.js";
import { say } from "./strings.js";

export function sidebar(actions) {
  const rooms = [...state.channels.values()];
  const people = [...state.users.values()].filter((user) => !user.is_bot);
  return [
    h("header", {},
      h("div", { class: "workspace" }, h("strong", { text: say("sandbox_name") }),
        h("span", { class: `link ${state.app.connected && state.online ? "up" : "down"}`, role: "status" },
          !state.online ? say("sandbox_offline") : state.app.connected ? say("sandbox_connected") : say("sandbox_not_connected"))),
      h("label", { class: "you" }, avatar(state.you, true), h("span", { class: "hidden", text: say("sandbox_you_are") }),
        h("select", { id: "you", title: say("sandbox_who_you_are"), onchange: (event) => actions.become(event.currentTarget.value) },
          people.map((user) => h("option", { value: user.id, selected: user.id === state.you, text: user.real_name }))))),
    h("div", { class: "places" },
      section(say("sandbox_channels"), rooms.filter((room) => !room.direct).map((room) => place(room.id, "#", room.name, actions))),
      section(say("sandbox_direct_messages"), rooms.filter((room) => room.direct).map((room) => place(room.id, avatar(state.bot, true), titleOf(room), actions))),
      (state.app.home || state.app.assistant) && section(say("sandbox_app"), [
        state.app.home && place("home", icon("home"), say("sandbox_home"), actions),
        state.app.assistant && h("button", { type: "button", class: "place", id: "new-chat", onclick: actions.newChat },
          h("span", { class: "sign" }, icon("plus")), h("span", { text: say("sandbox_new_chat") })),
      ])),
    h("footer", {}, say("sandbox_kept_in_memory")),
  ];
}

function section(title, places) {
  return h("section", {}, h("h2", { text: title }), places);
}

function place(id, sign, name, actions) {
  const here = state.place === id;
  const unread = state.unread.get(id) ?? 0;
  return h("button", { type: "button", class: `place ${here ? "here" : ""} ${unread ? "unread" : ""}`, data: { place: id },
    "aria-current": here ? "page" : null, onclick: () => actions.go(id) },
    h("span", { class: "sign" }, sign), h("span", { class: "name", text: name }), unread > 0 && h("span", { class: "bubble", text: String(unread) }));
}
