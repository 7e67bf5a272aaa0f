// The dialog that starts something. It says before it is sent what will happen, and remembers what was chosen last.

import { Failed, get, operationId, post } from "./api.js";
import { field, h, put, say, toast } from "./dom.js";
import { go, place } from "./route.js";
import { model } from "./state.js";
import { ago, away, count, isEnded } from "./words.js";

const KEY = "relay.spawn";
const THINK_MS = 350;
const PLACES = { new: "a fresh directory", cwd: "a directory there", repo: "a git repository" };

let agents = null;

async function agentsOf(broker) {
  try {
    agents ??= await get("agents");
  } catch { /* what the list of brokers says is shown instead */ }
  const found = agents?.find((each) => each.broker.id === broker.id);
  return found ? found.agents : broker.agents.map((name) => ({ name, installed: true }));
}

const remembered = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
};

function presence(broker) {
  if (broker.self) return "this machine";
  if (broker.online) return broker.link === "relayed" ? "online, relayed" : "online";
  return broker.last_seen ? `${away(broker) || "out of reach"}, seen ${ago(broker.last_seen)} ago` : "not seen yet";
}

const trusts = (broker) => broker.self || broker.grants.to_us === null || broker.grants.to_us.includes("spawn");
const isAway = (broker) => !broker.self && broker.online !== true;
// as far as this broker knows: what others have running there is that machine's own word, told for the chosen one
const onIt = (broker, unfinished) => {
  const there = unfinished.filter((each) => each.broker.id === broker.id);
  const working = there.filter((each) => each.started).length, waiting = there.length - working;
  return [working && `${working} working`, waiting && `${waiting} waiting`].filter(Boolean).map((each) => `, ${each}`).join("");
};
const ahead = (broker) => [...model.spawns.values()].filter((each) => each.broker.id === broker.id && !each.started && !isEnded(each.state)).length;

/** Ask what to start, and start it. */
export async function spawnDialog(first = {}) {
  // asked for before the machines are known: it opens once they are
  while (!model.own) await new Promise((go) => model.addEventListener("changed", go, { once: true }));
  if (document.querySelector("dialog[open]")) return;
  agents = null;
  const last = { ...remembered(), ...first };
  const wanted = place().broker || last.broker;
  const pick = (name, options, chosen) => h("select", { name }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const unfinished = [...model.spawns.values()].filter((each) => !isEnded(each.state));
  const brokers = pick("broker", model.brokers.map((each) => [each.id, `${each.name} — ${presence(each)}${onIt(each, unfinished)}`]), wanted);
  if (!wanted && model.own) brokers.value = model.own.id;
  const agent = h("select", { name: "agent" });
  const task = h("textarea", { name: "task", rows: 4, required: true, value: first.task || "" });
  const where = pick("where", Object.entries(PLACES), last.where || "new");
  const path = h("input", { name: "path", value: last.path || "", spellcheck: "false", autocapitalize: "off" });
  const pathField = field("Directory", path);
  const name = h("input", { name: "name", maxlength: 64, autocapitalize: "off", spellcheck: "false" });
  const model_ = h("input", { name: "model", value: last.model || "" });
  const mode = pick("mode", [["plan", "plan: reads only"], ["edit", "edit: its own safety stays on"], ["full", "full: may do anything"]], last.mode || "edit");
  const timeout = h("input", { name: "timeout", inputmode: "numeric", placeholder: "none", value: last.timeout || "" });
  const priority = h("input", { name: "priority", type: "number", min: -100, max: 100, value: "0" });
  const retries = h("input", { name: "retries", type: "number", min: 0, max: 10, value: "0" });
  const forecast = h("p", { class: "forecast", role: "status", id: "forecast" });
  const send = h("button", { class: "primary", type: "submit", "aria-describedby": "forecast" }, "Spawn");
  const form = h("form", { method: "dialog" },
    h("h2", { id: "spawn-title" }, "Spawn an agent"),
    h("div", { class: "grid" }, field("Broker", brokers), field("Agent", agent)),
    field("Task", task),
    h("div", { class: "grid" }, field("Works in", where), pathField),
    h("details", null, h("summary", null, "More"),
      h("div", { class: "grid" }, field("Name", name, "one is made up where it is empty"), field("Model", model_), field("Mode", mode),
        field("Timeout, minutes", timeout), field("Priority", priority), field("Retries", retries))),
    forecast,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"), send));
  const box = h("dialog", { class: "wide", "aria-labelledby": "spawn-title" }, form);
  let thinking = 0, asked = 0, installed = [], sent = "", operation = "";

  const chosen = () => model.broker(brokers.value) || model.own;

  async function drawAgents() {
    const broker = chosen(), before = agent.value || last.agent;
    installed = await agentsOf(broker);
    const here = installed.filter((each) => each.installed), gone = installed.filter((each) => !each.installed);
    const line = (each) => h("option", { value: each.name, selected: each.name === before },
      each.installed ? `${each.name}${each.logged_in === false ? " — no login there" : ""}` : `${each.name} — not installed there`);
    put(agent, here.map(line), gone.map(line));
  }

  function drawPath() {
    pathField.hidden = where.value === "new";
    say(pathField.firstChild, where.value === "repo" ? "Repository URL[@REF]" : "Directory there");
    path.placeholder = where.value === "repo" ? "https://host/team/app.git@main" : "/home/me/app";
  }

  function order() {
    const minutes = Number(timeout.value);
    const isPlain = agent.value === "exec";
    return {
      name: name.value.trim() || "-", agent: agent.value, task: isPlain ? "" : task.value, broker: chosen().id, mode: mode.value,
      model: model_.value.trim() || null, timeout_s: minutes > 0 ? minutes * 60 : null,
      priority: Number(priority.value) || 0, retries: Number(retries.value) || 0,
      ...(isPlain ? { argv: task.value.trim().split(/\s+/) } : {}),
      ...(where.value === "repo" ? { place: { repo: path.value.trim() } } : { cwd: where.value === "new" ? "new" : path.value.trim() }),
    };
  }

  function tell(text, tone) {
    say(forecast, text);
    forecast.className = `forecast ${tone}`;
  }

  async function foresee() {
    const broker = chosen(), mine = ++asked;
    say(send, isAway(broker) ? "Queue" : "Spawn");
    if (!trusts(broker)) {
      return tell(`${broker.name} does not let this broker start anything. On ${broker.name}: relay trust allow ${model.own.name} --verb spawn --dir DIR`, "bad");
    }
    if (isAway(broker)) {
      const n = ahead(broker);
      return tell(`Queue: ${broker.name} is ${presence(broker)}; it starts when ${broker.name} is back${n ? `, ${n} ahead` : ""}.`, "wait");
    }
    const isBare = !task.value.trim() || (where.value !== "new" && !path.value.trim());
    try {
      // before there is anything to judge: how busy it is, asked with a task that is nothing
      const bare = { ...order(), task: agent.value === "exec" ? "" : "x", cwd: "new", place: undefined, ...(agent.value === "exec" ? { argv: ["true"] } : {}) };
      const told = await post("trials", isBare ? bare : order());
      if (mine !== asked) return;
      const slots = told.facts?.slots;
      if (isBare) return tell(slots ? `${broker.name} has ${slots.used} of ${count(slots.of, "slot")} busy, ${slots.ahead || 0} waiting.` : "", "");
      const words = {
        start: `Starts at once on ${broker.name}${slots ? ` (${slots.used} of ${slots.of} slots busy)` : ""}.`,
        wait: `Waits on ${broker.name}: ${told.reason || `${count(slots?.ahead || 0, "task")} ahead`}.`,
        hold: `Is held on ${broker.name} until a person there approves it.`,
      };
      const isFine = told.verdict in words;
      tell(isFine ? words[told.verdict] : [told.error?.message || told.reason, told.error?.why, told.error?.hint && `try: ${told.error.hint}`].filter(Boolean).join(" — "), isFine ? "good" : "bad");
    } catch (error) {
      if (mine === asked) tell(isBare ? "" : error.words || String(error), isBare ? "" : "bad");
    }
  }

  function soon() {
    clearTimeout(thinking);
    thinking = setTimeout(foresee, THINK_MS);
  }

  form.addEventListener("input", soon);
  brokers.addEventListener("change", () => drawAgents().then(foresee));
  where.addEventListener("change", drawPath);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    // what comes of it stands there from now on, and no forecast that was still on its way
    clearTimeout(thinking);
    asked += 1;
    try {
      const wanted = order(), said = JSON.stringify(wanted);
      // the same order again, where its answer was lost on the way, is the same spawn and not a second one
      if (said !== sent) operation = operationId();
      sent = said;
      const made = await post("spawns", { ...wanted, operation });
      const { broker, where: at, ...rest } = { broker: brokers.value, agent: agent.value, where: where.value, path: path.value, model: model_.value, mode: mode.value, timeout: timeout.value };
      localStorage.setItem(KEY, JSON.stringify({ broker, where: at, ...rest }));
      model.spawns = new Map([[made.id, made], ...model.spawns]);
      model.changed("spawns");
      box.close();
      toast(made.ack);
      go({ section: "agents", spawn: made.id });
    } catch (error) {
      // refused, it was not begun: once what was in the way has gone, it is asked for anew
      if (error.status >= 400 && error.status < 500) sent = "";
      tell(error instanceof Failed ? error.words : String(error), "bad");
    } finally {
      send.disabled = false;
    }
  });
  box.addEventListener("close", () => { clearTimeout(thinking); box.remove(); });
  document.body.append(box);
  drawPath();
  await drawAgents();
  box.showModal();
  task.focus();
  foresee();
}
