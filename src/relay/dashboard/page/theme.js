// Light, dark, or as the system has it; remembered.

import { h, put } from "./dom.js";

const KEY = "relay.theme";
const NEXT = { "": ["dark", "◐", "As the system"], dark: ["light", "●", "Dark"], light: ["", "○", "Light"] };

/** The button that changes it. */
export function theme() {
  let now = localStorage.getItem(KEY) || "";
  const button = h("button", { class: "plain wide-only", type: "button", onclick: () => set(NEXT[now][0]) });
  function set(to) {
    now = to in NEXT ? to : "";
    localStorage.setItem(KEY, now);
    document.documentElement.dataset.theme = now;
    put(button, h("i", { "aria-hidden": "true" }, NEXT[now][1]));
    button.setAttribute("aria-label", `Colours: ${NEXT[now][2]}`);
    button.title = NEXT[now][2];
  }
  set(now);
  return button;
}
