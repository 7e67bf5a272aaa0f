// The output of a spawn: it follows, sticks to the end only where one is there already, finds, and can be kept.

import { Failed, lines, ref } from "./api.js";
import { Ansi } from "./ansi.js";
import { h, put, say, seen } from "./dom.js";
import { clock } from "./words.js";

const TAIL = 2000;
const MOST_LINES = 5000;
const MOST_WEIGHT = 4_000_000; // letters, and as many for each run of one style as its element takes room
const RUN = 64;
const LONGEST = 20_000;
const NEAR_PX = 24;
const AGAIN_MS = 2000;

/** A view of one spawn's output: {node, close()}. */
export function logView(spawn, isEnded) {
  const box = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": `Output of ${spawn.name}` });
  const find = h("input", { type: "search", placeholder: "Find in the output", "aria-label": "Find in the output" });
  const hits = h("span", { class: "hits", role: "status" });
  const end = h("button", { type: "button", hidden: true, onclick: () => { box.scrollTop = box.scrollHeight; } }, "↓ Newest");
  const keep = h("button", { type: "button", onclick: () => download() }, "Download");
  const node = h("div", { class: "logbox" },
    h("div", { class: "logbar" }, find, hits, h("span", { class: "fill" }), end, keep), box);
  const ansi = { out: new Ansi(), err: new Ansi() };
  const leaving = new AbortController();
  let reading = null;
  const weights = []; // of each line
  let line = null, length = 0, weight = 0, isAgain = false, next = 0, isCut = false, isDrawing = false, found = [], at = -1;

  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;

  function newLine(name = "") {
    line = h("div", { class: `line ${name}` });
    length = 0;
    isAgain = false;
    box.append(line);
    weights.push(0);
    while (weights.length > MOST_LINES || weight > MOST_WEIGHT) {
      weight -= weights.shift();
      box.firstElementChild.remove();
      isCut = true;
    }
  }

  function weigh(more) {
    weight += more;
    weights[weights.length - 1] += more;
  }

  // once for all that comes until it is seen: to ask where the end is costs as much as to draw
  function follows() {
    if (isDrawing) return;
    isDrawing = true;
    const stick = isAtEnd();
    requestAnimationFrame(() => {
      isDrawing = false;
      if (stick) box.scrollTop = box.scrollHeight;
      end.hidden = isAtEnd();
    });
  }

  function add(piece) {
    follows();
    if (piece.as_of) note(`as it was told at ${clock(piece.as_of)}: ${piece.reason || "its machine is out of reach"}`);
    if (piece.stream === "gap") note(`${piece.missing ?? "some"} bytes are missing here`);
    else if (piece.stream === "note") note(piece.data);
    else {
      const runs = ansi[piece.stream === "err" ? "err" : "out"].read(piece.data || "");
      for (const [text, name] of newest(runs)) write(text, name, piece.stream);
    }
    if (piece.next !== undefined) next = piece.next;
  }

  /** Of more lines than are shown the last ones: the others would go as they came. */
  function newest(runs) {
    let more = runs.reduce((n, [text]) => n + text.split("\n").length - 1, -MOST_LINES);
    if (more <= 0) return runs;
    isCut = true;
    line = null;
    return runs.map(([text, name]) => {
      let from = 0;
      for (; more > 0 && from >= 0; more -= 1) from = text.indexOf("\n", from) + 1 || -1;
      if (from >= 0) return [text.slice(from), name];
      more += 1;
      return ["", name];
    });
  }

  function write(text, name, stream) {
    if (text === "\r") {
      isAgain = true;
      return;
    }
    const parts = text.split("\n");
    parts.forEach((part, i) => {
      if (i) endLine(stream);
      // what does not end is broken: a line of a gigabyte is not drawn
      for (let at = 0; at < part.length; at += LONGEST) extend(part.slice(at, at + LONGEST), name, stream);
    });
  }

  function endLine(stream) {
    if (!line) newLine(stream === "err" ? "err" : "");
    line = null;
    isAgain = false;
  }

  function extend(part, name, stream) {
    if (isAgain && line) {
      weigh(-weights.at(-1));
      length = 0;
      put(line);
    }
    isAgain = false;
    if (!line || (length && length + part.length > LONGEST)) newLine(stream === "err" ? "err" : "");
    // as it was written: a log is read, and nothing is decided by a name in it
    const text = document.createTextNode(part);
    line.append(name ? h("span", { class: name }, text) : text);
    length += part.length;
    weigh(part.length + RUN);
  }

  function note(text) {
    newLine("note");
    line.append(seen(text));
    weigh(text.length);
    line = null;
  }

  async function follow() {
    let first = true;
    while (!leaving.signal.aborted) {
      const query = first ? `tail=${TAIL}` : `offset=${next}`;
      reading = new AbortController();
      try {
        for await (const piece of lines(`spawns/${ref(spawn.id)}/log?follow=1&${query}`, AbortSignal.any([leaving.signal, reading.signal]))) {
          first = false;
          add(piece);
        }
        if (!box.childElementCount) note(isEnded() ? "It wrote nothing." : "Nothing was written yet.");
        if (isEnded()) return;
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (error instanceof Failed && error.status >= 400 && error.status < 500) return void note(error.words);
      }
      if (!reading.signal.aborted) await new Promise((go) => setTimeout(go, AGAIN_MS));
    }
  }

  async function download() {
    const parts = [];
    keep.disabled = true;
    say(keep, "Downloading …");
    try {
      for await (const piece of lines(`spawns/${ref(spawn.id)}/log`)) {
        parts.push(piece.raw ? Uint8Array.from(atob(piece.raw), (each) => each.charCodeAt(0)) : piece.data || "");
      }
    } catch (error) {
      return void note(error.words || String(error));
    } finally {
      keep.disabled = false;
      say(keep, "Download");
    }
    const link = h("a", { href: URL.createObjectURL(new Blob(parts)), download: `${spawn.name}-${spawn.id}.log` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  function search() {
    for (const each of found) each.classList.remove("hit", "now");
    const text = find.value.toLowerCase();
    found = text ? [...box.children].filter((each) => each.textContent.toLowerCase().includes(text)) : [];
    for (const each of found) each.classList.add("hit");
    at = -1;
    if (found.length) step(-1);
    say(hits, text ? `${found.length ? at + 1 : 0} of ${found.length}${isCut ? " (earlier lines: Download)" : ""}` : "");
  }

  function step(by) {
    if (!found.length) return;
    found[at]?.classList.remove("now");
    at = (at + by + found.length) % found.length;
    if (at < 0) at = found.length - 1;
    found[at].classList.add("now");
    found[at].scrollIntoView({ block: "center" });
    say(hits, `${at + 1} of ${found.length}`);
  }

  find.addEventListener("input", search);
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { find.value = ""; search(); }
  });
  box.addEventListener("scroll", () => { end.hidden = isAtEnd(); });
  // the page was cut off: what this reads from may have gone without a word
  const again = () => reading.abort();
  addEventListener("linked-again", again);
  follow();
  return { node, close: () => { removeEventListener("linked-again", again); leaving.abort(); put(box); } };
}
