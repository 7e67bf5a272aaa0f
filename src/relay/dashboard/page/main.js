// The page's frame: signing in, the top, the sections, keys, and what keeps it live.

import { TOKEN, signIn, signOut, token } from "./api.js";
import * as agents from "./agents.js";
import { dialog, h, isTyping, put, say, toast } from "./dom.js";
import { Live } from "./live.js";
import { forgetPush, notify, notifyButton } from "./notify.js";
import { SECTIONS, go, place, url } from "./route.js";
import { model } from "./state.js";
import { theme } from "./theme.js";
import { away, setClock, short } from "./words.js";

// what is not seen at first is fetched when it is needed
const views = { agents, mesh: null, queue: null };
let detail = null;
const spawnDialog = async () => (await import("./spawn.js")).spawnDialog();
const view = async (name) => (views[name] ||= await import(`./${name}.js`));
const TITLES = { agents: ["Agents", "≡"], mesh: ["Mesh", "⌬"], queue: ["Queue", "⇅"] };
const UNREAD = "unread";
const TICK_MS = 10_000, LOAD_MS = 3000;
const SCOPES = "relay.scopes";
const main = document.getElementById("main"), pane = document.getElementById("detail"), stale = document.getElementById("stale");
const live = new Live();
let section = "", top = null, loading = 0, version = "";

function drawTop() {
  const selector = h("select", { id: "brokers", "aria-label": "Machines shown", onchange: (event) => go({ broker: event.target.value || null }) });
  top = { selector, state: h("span", { class: "live", role: "status" }), badge: h("span", { class: "badge", hidden: true }) };
  put(document.getElementById("top"),
    h("a", { class: "brand", href: "#/agents", "aria-label": "Relay" }, h("img", { src: "/static/icon.svg", alt: "", width: 24, height: 24 }), h("b", null, "Relay")),
    selector, top.state, h("span", { class: "fill" }), notifyButton(), theme(),
    h("button", { class: "plain wide-only", type: "button", "aria-label": "Keys", onclick: help }, "?"),
    h("button", { class: "primary", type: "button", "data-needs": "spawn", onclick: () => spawnDialog() }, "Spawn", h("kbd", { class: "wide-only" }, "n")));
  put(document.getElementById("sections"), SECTIONS.map((name) =>
    h("a", { href: `#/${name}`, "data-section": name }, h("i", { "aria-hidden": "true" }, TITLES[name][1]), h("span", null, TITLES[name][0]), name === "agents" && top.badge)));
}

function updateTop() {
  if (!top) return;
  const at = place();
  const options = [["", model.brokers.length ? `All machines (${model.brokers.length})` : "All machines"], ...model.brokers.map((each) => [each.id, each.self ? `${each.name} (here)` : each.online ? each.name : `${each.name} — ${away(each) || "unknown"}`])];
  // put out, or of an old link: the choice stands there, or "all" would be said of what is none of them
  if (at.broker && model.brokers.length && !model.broker(at.broker)) options.push([at.broker, `${short(at.broker)} — no member`]);
  const wanted = JSON.stringify([options, at.broker]);
  if (top.selector.dataset.now !== wanted) {
    put(top.selector, options.map(([value, text]) => h("option", { value, selected: value === (at.broker || "") }, text)));
    top.selector.dataset.now = wanted;
  }
  const tasks = model.status?.tasks;
  top.selector.title = tasks ? `Here ${tasks.running} running, ${tasks.waiting} waiting` : "";
  const needs = model.questions.length;
  say(top.badge, String(needs));
  top.badge.hidden = !needs;
  top.badge.setAttribute("aria-label", needs === 1 ? "1 agent needs you" : `${needs} agents need you`);
  document.title = needs ? `(${needs}) Relay` : "Relay";
  for (const link of document.querySelectorAll("#sections a")) {
    link.href = url({ section: link.dataset.section, spawn: null, state: null, q: null });
    if (link.dataset.section === at.section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function route() {
  if (!token()) return;
  const at = place();
  updateTop();
  if (section !== at.section) {
    section = at.section;
    let found = null;
    try {
      found = await view(section);
    } catch {
      if (section === at.section) section = UNREAD;
      return void toast(`${TITLES[at.section][0]}: the broker does not answer; it is shown once it does`);
    }
    if (section === at.section) found.open(main);
  } else views[section]?.update();
  if (at.spawn) detail ||= await import("./detail.js");
  detail?.show(pane, place().spawn || null);
}

function signedOut(why = "") {
  section = "";
  live.stop();
  signOut();
  forgetPush();
  for (const each of document.querySelectorAll("dialog[open]")) each.close();
  detail?.show(pane, null);
  put(document.getElementById("top"), h("a", { class: "brand", href: "#/" }, h("img", { src: "/static/icon.svg", alt: "", width: 24, height: 24 }), h("b", null, "Relay")));
  put(document.getElementById("sections"));
  pane.hidden = true;
  stale.hidden = true;
  put(main, h("div", { class: "welcome" },
    h("h1", null, "This browser is not signed in"), why && h("p", { class: "bad", role: "alert" }, why),
    h("p", null, "In a terminal on this machine:"), h("pre", { tabindex: "0" }, "relay dashboard"),
    h("p", null, "opens this page with a code that works once, for two minutes.")));
}

async function begin() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", "#/agents");
    try {
      scopes((await signIn(code)).scopes.join(" "));
    } catch (error) {
      if (!token()) return signedOut(error.words || String(error));
    }
  }
  if (!token()) return signedOut();
  scopes(localStorage.getItem(SCOPES) || "");
  drawTop();
  route();
  await load();
  live.start(model.seq);
}

/** All that is shown, anew, until it is there; whether it is. */
async function load() {
  clearTimeout(loading);
  try {
    await model.load();
    return true;
  } catch (error) {
    if (token()) showStale(error.words || String(error));
    if (live.isUp) loading = setTimeout(async () => (await load()) && live.isUp && showStale(""), LOAD_MS);
    return false;
  }
}

/** What this device may do: what it may not is not offered. The broker decides it all the same. */
function scopes(words) {
  localStorage.setItem(SCOPES, words);
  document.body.dataset.scopes = words;
}

function showStale(text) {
  say(stale, text);
  stale.hidden = !text;
}

live.addEventListener("up", async ({ detail: { hello, again } }) => {
  scopes(hello.device.scopes.join(" "));
  setClock(hello.at);
  version ||= hello.version;
  if (top) put(top.state, h("i", { class: "ok", "aria-hidden": "true" }, "●"), ` Live · ${Math.max(1, Math.round(live.rtt))} ms`);
  if (again) {
    dispatchEvent(new Event("linked-again"));
    route();
    detail?.update();
  }
  const isThere = again || !model.isLoaded ? await load() : true;
  // it may have gone again meanwhile
  if (isThere && live.isUp) showStale(version === hello.version ? "" : `The broker is Relay ${hello.version} now, and this page of ${version}: reload it.`);
});
live.addEventListener("beat", ({ detail: { at } }) => setClock(at));
live.addEventListener("down", ({ detail: { was } }) => {
  if (was) dispatchEvent(new Event("linked-again"));
  showStale("Connection lost, retrying. What you see may be old.");
  if (top) put(top.state, h("i", { class: "off", "aria-hidden": "true" }, "○"), " Not connected");
});
live.addEventListener("denied", () => {
  showStale("This device may not look at anything — try: relay dashboard --scopes view,spawn");
  if (top) put(top.state, h("i", { class: "off", "aria-hidden": "true" }, "○"), " Not connected");
});
live.addEventListener("reset", load);
live.addEventListener("event", ({ detail: event }) => {
  model.heard(event);
  notify(event, model);
  if (event.spawn && event.kind !== "spawn.log") setTimeout(() => detail?.update(event.spawn), 120);
});
model.addEventListener("changed", () => {
  updateTop();
  views[section]?.update();
});

let ticks = 0;
setInterval(() => {
  views[section]?.update();
  ticks += 1;
  // names, round trips and clocks change without an event
  if (live.isUp && document.visibilityState === "visible" && (section === "mesh" || ticks % 6 === 0)) model.look();
}, TICK_MS);

function help() {
  const keys = [["n", "spawn an agent"], ["/", "filter"], ["j  k", "next, previous"], ["Enter", "open"], ["1 2 3", "agents, mesh, queue"], ["Esc", "back"], ["?", "these keys"]];
  dialog("Keys", h("dl", { class: "facts" }, keys.map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)])), { yes: "" });
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (isTyping()) document.activeElement.blur();
    else detail?.leave();
    return;
  }
  if (!section || isTyping() || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const deeds = {
    n: () => document.body.dataset.scopes.includes("spawn") && spawnDialog(), "?": help,
    "/": () => { go({ section: "agents" }); document.getElementById("filter")?.focus(); },
    j: () => agents.step(1), k: () => agents.step(-1),
    1: () => go({ section: "agents" }), 2: () => go({ section: "mesh", spawn: null }), 3: () => go({ section: "queue", spawn: null }),
  };
  if (deeds[event.key]) {
    event.preventDefault();
    deeds[event.key]();
  }
});
addEventListener("hashchange", () => (new URLSearchParams(location.hash.slice(1)).get("code") ? begin() : route()));
addEventListener("signed-out", () => signedOut());
// another tab of this browser was signed in, or out
addEventListener("storage", ({ key }) => key === TOKEN && Boolean(token()) !== Boolean(section) && (token() ? begin() : signedOut()));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be another place of the page
  main.focus();
});
addEventListener("unhandledrejection", (event) => toast(event.reason?.words || String(event.reason), true));

if ("serviceWorker" in navigator) {
  // the only script that is named by a text: this one
  const policy = window.trustedTypes?.createPolicy("relay-worker", { createScriptURL: (given) => (given === "/sw.js" ? given : "") });
  navigator.serviceWorker.register(policy ? policy.createScriptURL("/sw.js") : "/sw.js").catch(() => {});
}
begin();
