// The list of agents: what needs a person on top, then all that there is, scoped and filtered.

import { h, put, say } from "./dom.js";
import { mark, stateOf } from "./machine.js";
import { model } from "./state.js";
import { go, place, url } from "./route.js";
import { WORDS, ago, count, shown } from "./words.js";
import { questionCard } from "./question.js";

const PAGE = 1000;
let rows = new Map();
let cards = new Map();
let parts = null;

/** Draw the section for the first time. */
export function open(main) {
  rows = new Map();
  cards = new Map();
  parts = {
    needs: h("section", { class: "needs", "aria-label": "Needs you" }),
    chips: h("div", { class: "chips", role: "group", "aria-label": "Filter by state" }),
    filter: h("input", {
      type: "search", id: "filter", placeholder: "Filter", "aria-label": "Filter by name, task, agent or label",
      value: place().q || "", oninput: (event) => go({ q: event.target.value }, true),
    }),
    list: h("ul", { class: "rows", id: "rows" }),
    note: h("p", { class: "empty", hidden: true }),
  };
  put(main, parts.needs, h("div", { class: "head" }, h("h1", null, "Agents"), parts.chips, parts.filter), parts.list, parts.note);
  update();
}

function inScope(spawn, { broker }) {
  return !broker || spawn.broker.id === broker;
}

function matches(spawn, text) {
  const labels = Object.entries(spawn.labels || {}).map(([key, value]) => `${key}=${value}`).join(" ");
  const all = `${spawn.name} ${spawn.task} ${spawn.agent} ${spawn.broker.name} ${spawn.id} ${labels}`.toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

/** Bring what is drawn up to what is known. */
export function update() {
  if (!parts) return;
  const at = place();
  if (parts.filter.value !== (at.q || "")) parts.filter.value = at.q || "";
  const scoped = [...model.spawns.values()].filter((spawn) => inScope(spawn, at));
  const words = new Map(scoped.map((spawn) => [spawn.id, shown(spawn, model.isThere(spawn.broker.id))]));
  drawNeeds(at);
  drawChips(scoped, words, at);
  const found = scoped
    .filter((spawn) => !at.state || words.get(spawn.id).word === at.state)
    .filter((spawn) => !at.q || matches(spawn, at.q));
  drawRows(found.slice(0, PAGE), words, at);
  drawNote(scoped, found, at);
}

function drawNeeds(at) {
  const wanted = model.questions.filter((each) => !at.broker || each.broker.id === at.broker);
  const kept = new Map();
  for (const question of wanted) {
    kept.set(question.request, cards.get(question.request) || questionCard(question));
  }
  // a card that was answered stays until its broker's word was read
  for (const [request, card] of cards) if (!kept.has(request) && card.isBusy()) kept.set(request, card);
  cards = kept;
  for (const card of cards.values()) card.tick();
  const heads = [h("h2", null, "Needs you ", h("span", { class: "badge" }, cards.size))];
  const unasked = model.unasked.filter((each) => !at.broker || each.id === at.broker);
  const drawn = [...cards.values()].map((card) => card.node);
  const present = parts.needs.querySelectorAll(".card");
  if (present.length !== drawn.length || drawn.some((node, i) => present[i] !== node)) {
    const held = document.activeElement;
    put(parts.needs, cards.size ? heads : null, h("div", { class: "cards" }, drawn));
    if (parts.needs.contains(held)) held.focus();
  }
  const asleep = unasked.map((each) => each.name).join(", ");
  parts.needs.hidden = !cards.size;
  parts.needs.title = asleep ? `not asked, out of reach: ${asleep}` : "";
}

function drawChips(scoped, words, at) {
  const counts = new Map();
  for (const spawn of scoped) {
    const { word } = words.get(spawn.id);
    counts.set(word, (counts.get(word) || 0) + 1);
  }
  const all = at.state && !WORDS.includes(at.state) ? [...WORDS, at.state] : WORDS;
  const chips = all.filter((word) => counts.has(word) || at.state === word).map((word) =>
    h("button", {
      type: "button", "aria-pressed": String(at.state === word),
      onclick: () => go({ state: place().state === word ? null : word }),
    }, `${word} `, h("b", null, counts.get(word) || 0)));
  const wanted = chips.map((chip) => chip.textContent + chip.getAttribute("aria-pressed")).join();
  if (parts.chips.dataset.now !== wanted) {
    const held = document.activeElement?.parentNode === parts.chips ? document.activeElement.textContent.split(" ")[0] : "";
    put(parts.chips, chips);
    parts.chips.dataset.now = wanted;
    if (held) chips.find((chip) => chip.textContent.startsWith(held))?.focus();
  }
}

function row(spawn) {
  const name = h("b", { class: "name" });
  const task = h("span", { class: "task" });
  const agent = h("small");
  const time = h("time");
  const state = h("span", { class: "cell" });
  const letters = h("span", null), machine = h("span");
  const where = h("span", { class: "where" }, letters, h("span", null, machine, agent));
  const why = h("span", { class: "why" });
  const link = h("a", { class: "row" }, state, h("span", { class: "what" }, name, task, why), where, time);
  const node = h("li", { "data-spawn": spawn.id }, link);
  let was = "";
  return {
    node,
    show(now, word, at) {
      const isOpen = at.spawn === now.id;
      const broker = model.broker(now.broker.id) || now.broker;
      const key = [broker.name, word.word, word.old, now.reason, now.name, now.task, isOpen, now.paused?.at, url({ spawn: now.id })].join("\0");
      say(time, ago(now.ended || now.started || now.created));
      if (key === was) return;
      was = key;
      link.href = url({ spawn: now.id });
      link.toggleAttribute("aria-current", isOpen);
      put(state, stateOf(word));
      say(name, now.name);
      say(task, now.task);
      put(letters, mark(broker));
      say(machine, broker.name);
      say(agent, now.agent);
      say(why, now.paused ? `paused by ${now.paused.by}` : now.error?.message || now.reason || "");
      why.className = now.error ? "why bad" : "why";
    },
  };
}

function drawRows(found, words, at) {
  const kept = new Map();
  let before = null;
  for (const spawn of found) {
    const each = rows.get(spawn.id) || row(spawn);
    each.show(spawn, words.get(spawn.id), at);
    kept.set(spawn.id, each);
    const next = before ? before.nextSibling : parts.list.firstChild;
    if (next !== each.node) parts.list.insertBefore(each.node, next);
    before = each.node;
  }
  for (const [id, each] of rows) if (!kept.has(id)) each.node.remove();
  rows = kept;
}

function drawNote(scoped, found, at) {
  const more = model.matched - model.spawns.size;
  const where = at.broker ? ` on ${model.broker(at.broker)?.name || "that machine"}` : "";
  const older = more > 0 && model.isWhole ? `${count(more, "older one")} not shown: relay ps --all` : "";
  let text = "";
  if (!model.isLoaded) text = "Loading …";
  else if (!scoped.length && older) text = `Nothing of the latest ${model.spawns.size} was started${where}.`;
  else if (!scoped.length) text = `Nothing was started${where} yet. Press n, or type: relay spawn NAME AGENT TASK`;
  else if (!found.length) text = `None of ${count(scoped.length, "agent")}${where} fits this filter.`;
  text = [text, older].filter(Boolean).join(" ");
  say(parts.note, text);
  parts.note.hidden = !text;
}

/** Move by keys: the next row or the one before. */
export function step(by) {
  const links = [...document.querySelectorAll("#rows a.row")];
  const now = links.findIndex((link) => link === document.activeElement || link.hasAttribute("aria-current"));
  links[Math.min(links.length - 1, Math.max(0, now + by))]?.focus();
}
