// One agent: what it is, what it does, its output, result and course, and what can be done about it.

import { Failed, get, order, ref } from "./api.js";
import { changesView } from "./changes.js";
import { dialog, field, h, put, redraw, toast } from "./dom.js";
import { logView } from "./log.js";
import { machine, stateOf } from "./machine.js";
import { questionCard } from "./question.js";
import { model } from "./state.js";
import { go, place } from "./route.js";
import { ago, clock, isEnded, shown, size, span, stateWord } from "./words.js";

const PRESSED_MS = 100, MOST_WAITS = 30;
let open = null;

/** Show a spawn in the pane, or nothing. */
export function show(pane, id) {
  if (open && open.id === id) return;
  open?.close();
  open = null;
  pane.hidden = !id;
  document.body.classList.toggle("has-detail", Boolean(id));
  if (id) open = opened(pane, id);
}

/** Something changed: draw what is open again. */
export function update(id) {
  if (open && (!id || open.id === id)) open.refresh();
}

function opened(pane, id) {
  const head = h("div", { class: "top" }), body = h("div", { class: "tabbody" }), foot = h("div", { class: "foot" });
  const tabs = h("div", { class: "tabs", role: "tablist" });
  // beside the others and not in their place: a frame that is taken out begins anew
  const screen = h("div", { class: "tabbody", id: "tabscreen", role: "tabpanel", "aria-labelledby": "tab-Terminal", hidden: true });
  // one and the same for as long as the pane is open: what is typed into it outlives what happens meanwhile
  const words = h("textarea", { rows: 1 });
  let now = null, tab = "Log", log = null, terminal = null, changes = null, card = null, isClosed = false, asked = 0;
  put(pane, head, tabs, body, screen, foot);

  async function refresh() {
    const mine = ++asked;
    try {
      const found = await get(`spawns/${ref(id)}`);
      if (mine !== asked || isClosed) return;
      now = found;
      draw();
    } catch (error) {
      if (!now && !isClosed) put(head, back(), h("p", { class: "empty" }, error.words || String(error)));
    }
  }

  const back = () => h("button", { class: "plain back", type: "button", "aria-label": "Back to the list", onclick: () => go({ spawn: null }) }, "←");

  function draw(waits = 0) {
    if (isClosed) return;
    // a button that is replaced while it is pressed is none that was clicked; some are left pressed, by a finger that slid away
    if (waits < MOST_WAITS && pane.matches(":active")) return void setTimeout(draw, PRESSED_MS, waits + 1);
    const word = shown(now, model.isThere(now.broker.id));
    put(head,
      h("div", { class: "title" }, back(), h("h2", null, now.name), stateOf(word)),
      h("p", { class: "task" }, now.task),
      h("p", { class: "meta" }, machine(now.broker), ` · ${now.agent}${now.model ? ` ${now.model}` : ""} · ${ago(now.created)}`,
        now.attempt > 1 && ` · attempt ${now.attempt}`, now.origin.id !== now.broker.id && [" · from ", machine(now.origin)]),
      h("p", { class: "ack" }, now.ack, now.truth.from !== model.own?.id ? ` (its word, ${ago(now.truth.at)} ago)` : ""));
    drawTabs();
    drawFoot();
  }

  function drawTabs() {
    const mayType = document.body.dataset.scopes.includes("terminal") && (!isEnded(now.state) || terminal);
    const names = ["Log", mayType && "Terminal", "Result", now.result?.branch && "Changes", "Timeline"].filter(Boolean);
    redraw(tabs, names.map((name) => h("button", {
      role: "tab", id: `tab-${name}`, "aria-selected": String(tab === name), "aria-controls": name === "Terminal" ? "tabscreen" : "tabbody", type: "button",
      onclick: () => { tab = name; draw(); },
    }, name)));
    const isScreen = tab === "Terminal";
    body.hidden = isScreen;
    screen.hidden = !isScreen;
    pane.classList.toggle("has-screen", isScreen);
    if (isScreen) return void (terminal ||= opening());
    body.id = "tabbody";
    body.setAttribute("role", "tabpanel");
    body.setAttribute("aria-labelledby", `tab-${tab}`);
    if (tab === "Log") {
      log ||= logView(now, () => isEnded(now.state));
      if (body.firstChild !== log.node) put(body, log.node);
    } else if (tab === "Changes") {
      changes ||= changesView(now);
      if (body.firstChild !== changes) put(body, changes);
    } else put(body, tab === "Result" ? result(now) : course(now));
  }

  function opening() {
    const made = { close: () => {} };
    import("./terminal.js").then(({ terminalView }) => {
      if (isClosed) return;
      Object.assign(made, terminalView(now, () => isEnded(now.state)));
      put(screen, made.node);
    });
    return made;
  }

  function drawFoot() {
    const question = model.questions.find((each) => each.spawn === now.id);
    if (question && card?.request !== question.request) card = { request: question.request, ...questionCard(question) };
    if (!question && card && !card.isBusy()) card = null;
    if (foot.contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA") return;
    redraw(foot, card?.node, actions(now, refresh, words));
  }

  refresh();
  return {
    id, refresh,
    close() {
      isClosed = true;
      log?.close();
      terminal?.close();
      pane.classList.remove("has-screen");
      put(pane);
    },
  };
}

function fact(name, value) {
  return value === null || value === undefined || value === "" ? null : [h("dt", null, name), h("dd", null, value)];
}

function result(now) {
  const done = now.result, usage = done?.usage || {};
  const took = now.durations?.running_s;
  const facts = h("dl", { class: "facts" },
    fact("Ended", now.ended && `${clock(now.ended)}${took ? ` after ${span(took)}` : ""}`),
    fact("Exit code", now.exit_code), fact("Signal", now.signal),
    fact("Session", done?.session), fact("Branch", done?.branch),
    fact("Turns", usage.turns), fact("Cost", usage.cost_usd && `$${usage.cost_usd.toFixed(2)}`),
    fact("Tokens", usage.input_tokens && `${usage.input_tokens} in, ${usage.output_tokens ?? "?"} out`),
    fact("Directory", now.cwd), fact("Mode", now.mode));
  const files = (done?.files || []).map((each) => h("li", null, `${each.path} (${size(each.size)})${each.here ? "" : `: ${each.why}`}`));
  return h("div", { class: "pad" },
    now.error && h("div", { class: "errorbox" }, h("b", null, now.error.message), now.error.why && h("p", null, now.error.why),
      now.error.hint && h("p", null, "try: ", h("code", null, now.error.hint))),
    !done && !now.error && h("p", { class: "empty" }, "It has not ended; the result comes then."),
    done?.summary && h("p", { class: "summary" }, plain(done.summary)), facts,
    files.length > 0 && [h("h3", null, "Files"), h("ul", null, files), h("code", null, `relay result ${now.id} --files DIR`)],
    done?.output_tail && [h("h3", null, "The end of its output"), h("pre", { tabindex: "0" }, plain(done.output_tail))]);
}

const plain = (text) => text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f]/g, "");

function course(now) {
  const steps = (now.timeline || []).map((each) => h("li", null,
    h("time", null, clock(each.at)), h("b", null, stateWord(each.state)),
    h("span", null, `${each.reason ? `${each.reason} · ` : ""}said ${each.from.name}${each.attempt > 1 ? ` · attempt ${each.attempt}` : ""}`)));
  const marks = (now.marks || []).map((each) => h("li", null, h("time", null, clock(each.at)), h("b", null, each.mark), h("span", null, `${each.text} ${each.by}`)));
  return h("div", { class: "pad" },
    now.timeline_earlier > 0 && h("p", null, `${now.timeline_earlier} earlier words are not kept here.`),
    h("ol", { class: "course" }, steps), marks.length > 0 && [h("h3", null, "Beside it"), h("ol", { class: "course" }, marks)]);
}

/** Do it, and say what came of it; whether it was taken. */
async function act(what, path, body, refresh) {
  try {
    const told = await order(path, body);
    toast(what(told));
    refresh();
    return true;
  } catch (error) {
    toast(error instanceof Failed ? error.words : String(error), true);
    return false;
  }
}

function actions(now, refresh, words) {
  const path = `spawns/${ref(now.id)}`;
  const button = (name, onclick, tone = "") => h("button", { type: "button", class: tone, onclick, "data-needs": name === "Resolve" ? "approve" : "spawn" }, name);
  const stop = async () => {
    const text = `${now.name} on ${now.broker.name}: what it runs is ended with all it started.`;
    if (await dialog("Stop this agent?", h("p", null, text), { yes: "Stop", tone: "danger" })) {
      act((told) => (told.stop?.state === "queued" ? `Stop queued: ${now.broker.name} is out of reach` : `Stop asked of ${now.broker.name}`), `${path}/stop`, {}, refresh);
    }
  };
  const retry = () => act((told) => told.ack, `${path}/retry`, {}, refresh);
  words.setAttribute("aria-label", `Tell ${now.name} something`);
  words.placeholder = isEnded(now.state) ? "Go on with …" : `Tell ${now.name} something`;
  const send = async () => {
    const text = words.value;
    if (!text.trim()) return;
    const taken = isEnded(now.state)
      ? await act((told) => told.ack, `${path}/continue`, { task: text }, refresh)
      : await act((told) => (told.accepted === false ? told.said : `Sent to ${now.name}`), "answers", { spawn: now.id, verb: "send", text, wait_s: 10 }, refresh);
    if (taken && words.value === text) words.value = "";
  };
  const canTalk = now.state === "running" || (isEnded(now.state) && now.result?.session);
  return [
    canTalk && h("div", { class: "talk", "data-needs": isEnded(now.state) ? "spawn" : "approve" }, words, button(isEnded(now.state) ? "Continue" : "Send", send)),
    h("div", { class: "buttons" },
      !isEnded(now.state) && button("Stop", stop, "danger"),
      !isEnded(now.state) && !now.started && button(now.paused ? "Resume" : "Pause", () => act(() => "Asked", `${path}/${now.paused ? "resume" : "pause"}`, {}, refresh)),
      isEnded(now.state) && button("Retry", retry),
      isEnded(now.state) && now.state !== "completed" && !now.resolved && button("Resolve", () => resolve(now, refresh)),
      now.resolved && h("small", null, `resolved as ${now.resolved.as} by ${now.resolved.by}`)),
    h("small", { class: "hint" }, "In a terminal: ", h("code", null, `relay attach ${now.id}`)),
  ];
}

async function resolve(now, refresh) {
  const word = h("select", null, ["done", "failed", "pending"].map((each) => h("option", { value: each }, each)));
  const notes = h("textarea", { rows: 2 });
  const body = [field("It is", word, "done: a person finished it; failed: it stays a failure, seen; pending: it needs work"), field("Notes", notes)];
  if (await dialog(`Resolve ${now.name}`, body, { yes: "Resolve" })) {
    act(() => `Resolved as ${word.value}`, "resolutions", { spawns: [now.id], as: word.value, notes: notes.value }, refresh);
  }
}

/** Leave the pane. */
export const leave = () => place().spawn && go({ spawn: null });
