// Machines: how each stands, what it may do, and what can be done about it.

import { Failed, get, order, ref } from "./api.js";
import { devicesView } from "./devices.js";
import { dialog, field, h, put, redraw, toast } from "./dom.js";
import { mark } from "./machine.js";
import { pairDialog } from "./pair.js";
import { picture } from "./picture.js";
import { go, place, url } from "./route.js";
import { model } from "./state.js";
import { ago, away, count, short } from "./words.js";

const MOST_PICTURED = 24;
const COLUMNS = ["Machine", "Stands", "Link", "Round trip", "Waiting for it", "Clock", "Version", "It lets us", "We let it"];
let parts = null, rows = new Map();

export function open(main) {
  rows = new Map();
  const listed = h("tbody");
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Machines" },
    h("table", null, h("thead", null, h("tr", null, COLUMNS.map((each) => h("th", { scope: "col" }, each)))), listed));
  parts = { picture: h("div", { class: "pictured" }), table, rows: listed, pictured: "", key: "", one: h("section", { class: "one" }), devices: devicesView() };
  put(main,
    h("div", { class: "head" }, h("h1", null, "Mesh"), h("span", { class: "fill" }),
      h("button", { type: "button", class: "primary", "data-needs": "trust", onclick: pairDialog }, "Pair a machine")),
    parts.picture, parts.table, parts.one, parts.devices.node);
  update();
}

const link = (each) => (each.self ? "this machine" : each.link === "relayed" ? `relayed by ${model.broker(each.via)?.name || short(each.via || "")}` : each.link || "none");

function presence(each) {
  if (each.self) return "here";
  if (each.online) return "online";
  const seen = each.last_seen ? `last seen ${ago(each.last_seen)} ago` : "not seen yet";
  return `${away(each) || "unknown"}, ${seen}`;
}

const verbs = (list) => (list === null ? "unknown" : list.length ? list.join(", ") : "nothing");
const known = (value, unit) => (value === null || value === undefined ? "unknown" : `${Math.round(value)}${unit}`);

export function update() {
  if (!parts) return;
  const at = place();
  drawPicture();
  drawRows(at);
  parts.devices.update();
  const chosen = model.broker(at.broker), key = JSON.stringify([chosen, model.brokers.length > 1]);
  const isOther = parts.one.dataset.id !== (chosen?.id || "");
  if (isOther || (parts.key !== key && !parts.one.contains(document.activeElement))) {
    parts.key = key;
    drawOne(chosen);
  }
}

function drawPicture() {
  const key = JSON.stringify(model.brokers.map((each) => [each.id, each.name, each.online, each.link, each.via, each.rtt_ms]));
  if (parts.pictured === key) return;
  parts.pictured = key;
  // of more than these nobody sees anything; the table has them all
  const isClear = model.brokers.length <= MOST_PICTURED;
  parts.picture.hidden = !isClear;
  if (isClear) redraw(parts.picture, picture(model.brokers));
}

function drawRows(at) {
  const kept = new Map();
  let before = null;
  for (const each of model.brokers) {
    const isNow = at.broker === each.id;
    const cells = [presence(each), each.trouble, link(each), each.rtt_ms, each.outbox, each.held_for_it, each.clock_skew_ms, each.version, each.grants];
    const key = JSON.stringify([each.name, isNow, url({ broker: null }), cells]);
    let known = rows.get(each.id);
    // while its link is pressed it stays: one that is replaced then is none that was clicked
    if (known?.key !== key && !known?.node.matches(":active")) {
      const node = row(each, isNow), isHeld = known?.node.contains(document.activeElement);
      known?.node.replaceWith(node);
      if (isHeld) node.querySelector("a").focus({ preventScroll: true });
      known = { node, key };
    }
    kept.set(each.id, known);
    const next = before ? before.nextSibling : parts.rows.firstChild;
    if (next !== known.node) parts.rows.insertBefore(known.node, next);
    before = known.node;
  }
  for (const [id, each] of rows) if (!kept.has(id)) each.node.remove();
  rows = kept;
}

const row = (each, isNow) => h("tr", { class: isNow ? "now" : "", "data-broker": each.id },
  h("th", { scope: "row" }, h("a", { class: "machine", href: url({ broker: isNow ? null : each.id }) }, mark(each), h("span", null, each.name))),
  h("td", null, presence(each), each.trouble && h("small", { class: "bad" }, each.trouble)),
  h("td", null, link(each)),
  h("td", null, each.self ? "" : known(each.rtt_ms, " ms")),
  h("td", null, each.self ? "" : count(each.outbox, "envelope"), each.held_for_it > 0 && h("small", null, `${each.held_for_it} held for it`)),
  h("td", null, each.self ? "" : known(each.clock_skew_ms, " ms")),
  h("td", null, each.version || "unknown"),
  h("td", null, each.self ? "" : verbs(each.grants.to_us)),
  h("td", null, each.self ? "" : verbs(each.grants.from_us)));

async function drawOne(broker) {
  parts.one.dataset.id = broker?.id || "";
  if (!broker) {
    put(parts.one, h("p", { class: "empty" }, model.brokers.length > 1 ? "Choose a machine to see more of it." : "Only this machine so far. Pair another one: it then stands here."));
    return;
  }
  let more = null;
  try {
    more = broker.self ? null : await get(`brokers/${ref(broker.id)}`);
  } catch { /* the table says what is known */ }
  if (parts.one.dataset.id !== broker.id) return;
  if (parts.one.matches(":active")) return void (parts.key = ""); // somebody presses in it: next time
  put(parts.one,
    h("h2", null, mark(broker), " ", broker.name),
    h("p", { class: "fingerprint" }, more?.id_groups || broker.id),
    h("dl", { class: "facts" },
      h("dt", null, "Agents"), h("dd", null, broker.agents.join(", ") || "unknown"),
      h("dt", null, "Capabilities"), h("dd", null, broker.capabilities.join(", ") || "none told"),
      h("dt", null, "Addresses"), h("dd", null, more ? more.addresses.map((each) => `${each.address} (${each.source})`).join(", ") || "unknown" : broker.addresses.join(", ")),
      !broker.online && more?.trouble && [h("dt", null, "Trouble"), h("dd", { class: "bad" }, more.trouble)]),
    !broker.self && h("div", { class: "buttons" }, deeds(broker)));
}

async function did(words, path, body = {}) {
  try {
    const told = await order(path, body);
    toast(typeof words === "function" ? words(told) : words);
    model.heard({ kind: "broker.changed" });
    return true;
  } catch (error) {
    toast(error instanceof Failed ? error.words : String(error), true);
    return false;
  }
}

function deeds(broker) {
  const path = `brokers/${ref(broker.id)}`, name = broker.name;
  const button = (text, onclick, tone = "") => h("button", { type: "button", class: tone, onclick, "data-needs": text === "Ping" ? "view" : "trust" }, text);
  const sure = (title, text, yes) => dialog(title, h("p", null, text), { yes, tone: "danger" });
  return [
    button("Ping", () => did((told) => `${name} answered in ${known(told.rtt_ms ?? told.ms, " ms")}`, `${path}/ping`)),
    button("Trust …", () => trust(broker)),
    broker.grants.from_us.length > 0 && button("Revoke …", async () => {
      if (await sure(`Revoke what ${name} may do here?`, `What it started here ends within 5 s. It stays a member of the workspace.`, "Revoke")) did(`${name} may do nothing here`, `grants/${ref(broker.id)}/revoke`);
    }, "danger"),
    button("Rename …", async () => {
      const input = h("input", { value: name, maxlength: 64 });
      if (await dialog(`Rename ${name}`, field("Its name on this machine", input), { yes: "Rename" })) did("Renamed", `${path}/rename`, { name: input.value });
    }),
    button("Forget …", async () => {
      if (await sure(`Forget what is known of ${name}?`, "Addresses and words of it that were kept here go. It may come back by itself, as a member.", "Forget")) did(`${name} is forgotten`, `${path}/forget`);
    }),
    button("Evict …", async () => {
      if (await sure(`Put ${name} out of the workspace?`, `Every machine closes its links with ${name} and ends what it asked for. It needs a new invitation to come back.`, "Evict")) {
        if (await did(`${name} is out of the workspace`, `${path}/evict`)) go({ broker: null });
      }
    }, "danger"),
  ];
}

async function trust(broker) {
  const profile = h("select", null,
    [["runner", "runner: starts agents in fresh directories"], ["read-only", "read-only: sees, starts nothing"], ["full", "full: everything, shells too"]].map(([value, text]) => h("option", { value }, text)));
  const dirs = h("textarea", { rows: 2, spellcheck: "false", placeholder: "/home/me/app" });
  const agents = h("input", { spellcheck: "false", placeholder: "shell, exec" });
  const ask = h("input", { type: "checkbox", checked: true });
  const body = [
    h("p", null, `Compare the fingerprint with the one that ${broker.name} shows (relay identity show):`),
    h("p", { class: "fingerprint" }, broker.id.match(/.{1,7}/g).join("-")),
    field("It may", profile), field("In these directories too, one a line", dirs),
    field("And these agents by name", agents, "agents that take any command are granted by name only"),
    h("label", { class: "check" }, ask, " ask a person here before anything starts"),
  ];
  if (await dialog(`What may ${broker.name} do here?`, body, { yes: "Allow", wide: true })) {
    const list = (text, by) => text.split(by).map((each) => each.trim()).filter(Boolean);
    const places = list(dirs.value, "\n"), named = list(agents.value, ",");
    did(`${broker.name} may act here as ${profile.value}`, `grants/${ref(broker.id)}/allow`, { profile: profile.value, dirs: places, agents: named, ask: ask.checked });
  }
}
