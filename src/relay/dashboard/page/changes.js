// What an agent changed, file by file, with its colours.

import { get, ref } from "./api.js";
import { h, put } from "./dom.js";

const NAMES = { "+": "d-add", "-": "d-del", "@": "d-hunk", "\\": "d-dim" };

const line = (text, inHead) => h("div", { class: inHead ? "d-dim" : NAMES[text[0]] || "" }, text || " ");

function drawn(diff) {
  const files = [];
  let lines = null, inHead = false;
  for (const text of diff.split("\n")) {
    if (text.startsWith("diff --git ")) {
      const name = text.slice(11).replace(/^a\/(.*) b\/\1$/, "$1");
      lines = h("div", { class: "diff", tabindex: "0", role: "group", "aria-label": name }, h("div", { class: "d-file" }, name));
      files.push(lines);
      inHead = true;
    } else if (lines) {
      if (text.startsWith("@@")) inHead = false;
      lines.append(line(text, inHead));
    }
  }
  return files;
}

/** A view of one spawn's change. */
export function changesView(spawn) {
  const node = h("div", { class: "pad" }, h("p", { class: "empty" }, "Fetching …"));
  get(`spawns/${ref(spawn.id)}/diff`).then((told) => put(node,
    h("p", null, "On the branch ", h("code", null, told.branch), ". Take it: ", h("code", null, `relay pull ${spawn.id}`)),
    spawn.result?.diffstat && h("pre", { tabindex: "0" }, spawn.result.diffstat),
    told.cut && h("p", { class: "bad" }, "It is longer than what is shown here: relay diff ", spawn.id),
    drawn(told.diff),
  ), (error) => put(node, spawn.result?.diffstat && h("pre", { tabindex: "0" }, spawn.result.diffstat), h("p", { class: "empty" }, error.words || String(error))));
  return node;
}
