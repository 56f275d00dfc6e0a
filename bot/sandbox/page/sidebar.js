// Channels, direct messages, the app's own places, and who one is.

import { h, icon } from "./dom.js";
import { avatar } from "./messages.js";
import { nameOf, state } from "./state.js";

export function sidebar(actions) {
  const rooms = [...state.channels.values()];
  const people = [...state.users.values()].filter((user) => !user.is_bot);
  return [
    h("header", {},
      h("div", { class: "workspace" }, h("strong", { text: "Sandbox" }),
        h("span", { class: `link ${state.app.connected && state.online ? "up" : "down"}`, role: "status" },
          !state.online ? "page offline" : state.app.connected ? "app connected" : "app not connected")),
      h("label", { class: "you" }, avatar(state.you, true), h("span", { class: "hidden", text: "You are" }),
        h("select", { id: "you", title: "Who you are", onchange: (event) => actions.become(event.currentTarget.value) },
          people.map((user) => h("option", { value: user.id, selected: user.id === state.you, text: user.real_name }))))),
    h("div", { class: "places" },
      section("Channels", rooms.filter((room) => !room.user).map((room) => place(room.id, "#", room.name, actions))),
      section("Direct messages", rooms.filter((room) => room.user).map((room) => place(room.id, avatar(state.bot, true), nameOf(state.bot), actions))),
      (state.app.home || state.app.assistant) && section("App", [
        state.app.home && place("home", icon("home"), "Home", actions),
        state.app.assistant && h("button", { type: "button", class: "place", id: "new-chat", onclick: actions.newChat },
          h("span", { class: "sign" }, icon("plus")), h("span", { text: "New chat" })),
      ])),
    h("footer", {}, "Everything here is kept in memory only and is lost when the sandbox stops."),
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
