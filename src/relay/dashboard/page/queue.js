// What is on its way between machines, and what went wrong.

import { Failed, get, order, ref, token } from "./api.js";
import { h, put, redraw, toast } from "./dom.js";
import { machine } from "./machine.js";
import { place, url } from "./route.js";
import { model } from "./state.js";
import { ago, clock, count, span } from "./words.js";

const AGAIN_MS = 3000, SOON_MS = 300;
const LISTS = [
  ["outgoing", "Outgoing", "Nothing waits to leave this machine."],
  ["incoming", "Incoming", "Nothing that came is being worked on."],
  ["held_for_others", "Held for others", "This machine keeps nothing for others."],
  ["dead", "Dead letters", "Nothing was given up."],
];
let parts = null, timer = 0, isLoading = false, isDue = false;

export function open(main) {
  clearTimeout(timer);
  parts = { queued: h("div"), failures: h("div"), outbox: h("div") };
  put(main,
    h("div", { class: "head" }, h("h1", null, "Queue")),
    h("section", { "aria-label": "Unfinished" }, h("h2", null, "Unfinished, on every machine"), parts.queued),
    h("section", { "aria-label": "Failures" }, h("h2", null, "Failures"), parts.failures),
    h("section", { "aria-label": "Envelopes" }, h("h2", null, "Envelopes"), parts.outbox));
  update();
}

export function update() {
  if (!parts || place().section !== "queue") return;
  clearTimeout(timer);
  load();
}

async function load() {
  if (isLoading) return void (isDue = true);
  isLoading = true;
  isDue = false;
  try {
    const [queue, failures, outbox] = await Promise.all([get("queue"), get("failures"), get("outbox")]);
    drawQueue(queue);
    drawFailures(failures);
    drawOutbox(outbox);
  } catch (error) {
    if (error instanceof Failed && error.status) {
      put(parts.queued, h("p", { class: "bad" }, error.words));
      delete parts.queued.dataset.now;
    }
  }
  isLoading = false;
  clearTimeout(timer);
  if (token() && place().section === "queue") timer = setTimeout(load, isDue ? SOON_MS : AGAIN_MS);
}

const mine = (broker) => !place().broker || broker.id === place().broker;
const spawnLink = (each) => h("a", { href: url({ section: "agents", spawn: each.id }) }, each.name);

function same(node, key) {
  if (node.dataset.now === key) return true;
  node.dataset.now = key;
  return false;
}

function drawQueue(queue) {
  const found = queue.filter((each) => mine(each.broker));
  if (same(parts.queued, JSON.stringify(found.map((each) => [each.id, each.state, each.reason, each.paused])))) return;
  redraw(parts.queued, found.length
    ? h("ul", { class: "plain-list" }, found.map((each) => h("li", null, spawnLink(each), " on ", machine(each.broker), h("span", null, `${each.state} ${ago(each.since)}`), h("small", null, each.paused ? `paused by ${each.paused.by}` : each.reason))))
    : h("p", { class: "empty" }, "Nothing is queued or at work."));
}

async function act(words, path, body) {
  try {
    await order(path, body);
    toast(words);
  } catch (error) {
    toast(error.words || String(error), true);
  }
  load();
}

function drawFailures(failures) {
  const found = failures.filter((each) => mine(each.broker));
  if (same(parts.failures, JSON.stringify(found.map((each) => [each.id, each.attempt])))) return;
  redraw(parts.failures, found.length
    ? h("ul", { class: "plain-list" }, found.map((each) => h("li", null, spawnLink(each), " on ", machine(each.broker), h("b", { class: "bad" }, each.error?.message || each.reason), h("small", null, `${ago(each.ended || each.since)} ago`),
      each.tail?.length > 0 && h("pre", { tabindex: "0" }, each.tail.join("\n")),
      h("small", null, "next: ", h("code", null, each.next)),
      h("div", { class: "buttons" },
        h("button", { type: "button", "data-needs": "spawn", "aria-label": `Retry ${each.name}`, onclick: () => act(`${each.name} runs again`, `spawns/${ref(each.id)}/retry`) }, "Retry"),
        h("button", { type: "button", "data-needs": "approve", "aria-label": `Mark done ${each.name}`, onclick: () => act(`${each.name} is resolved`, "resolutions", { spawns: [each.id], as: "done", notes: "" }) }, "Mark done")))))
    : h("p", { class: "empty" }, "Nothing has failed that nobody has looked at."));
}

function drawOutbox(outbox) {
  if (same(parts.outbox, JSON.stringify(LISTS.map(([key]) => outbox[key].map((each) => [each.id, each.state, each.reason, Math.round(each.age_s / 10)]))))) return;
  redraw(parts.outbox, LISTS.map(([key, title, none]) => {
    const rows = outbox[key];
    const oldest = rows.length ? Math.max(...rows.map((each) => each.age_s)) : 0;
    return h("section", { "aria-label": title },
      h("h3", null, title, rows.length > 0 && ` — ${count(rows.length, "envelope")}, the oldest ${span(oldest)} old`),
      rows.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", null,
        h("thead", null, h("tr", null, ["What", "Whom", "Stands", "Age", "Tries", "Next try", "Why"].map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", null, rows.map((each) => h("tr", null,
          h("td", null, each.kind), h("td", null, each.peer), h("td", null, each.state), h("td", null, span(each.age_s)),
          h("td", null, each.tries), h("td", null, each.next_try ? clock(each.next_try) : "none"), h("td", null, each.reason || "")))))) : h("p", { class: "empty" }, none),
      key === "dead" && rows.length > 0 && h("div", { class: "buttons" },
        h("button", { type: "button", "data-needs": "spawn", onclick: () => act("Sent anew", "outbox/retry", { all: true }) }, "Send all anew")));
  }));
}
