// A machine, wherever it appears: its monogram, its name, a link to it.

import { h } from "./dom.js";
import { hue, monogram } from "./words.js";

/** The two letters of a machine, in the colour of its fingerprint. */
export function mark(broker) {
  return h("span", { class: "mark", "aria-hidden": "true", vars: { "--hue": hue(broker.id) } }, monogram(broker.name));
}

/** A machine's name, which leads to it. */
export function machine(broker) {
  return h("a", { class: "machine", href: `#/mesh?broker=${broker.id}` }, mark(broker), h("span", null, broker.name));
}

/** A state as icon and word. */
export function stateOf({ word, icon, tone, old }) {
  return h("span", { class: `state ${tone}` }, h("i", { "aria-hidden": "true" }, icon), h("b", null, word), old && h("small", null, old));
}
