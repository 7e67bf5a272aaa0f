// What a person is asked, as a card. It goes through visible steps and stays until the broker's word was there to read.

import { Failed, order } from "./api.js";
import { h, put, say } from "./dom.js";
import { mark } from "./machine.js";
import { go } from "./route.js";
import { model } from "./state.js";
import { ago, clock, short } from "./words.js";

const WAIT_S = 20;
const READ_MS = 5000;

/** How an answer stands, in words. */
function outcome(verb, told, broker) {
  if (told.accepted === null) return [`Delivered to ${model.own?.name || "this broker"}; ${broker} has not said yet`, "wait"];
  if (!told.accepted) return [told.said || "Already answered", "old"];
  return [{ approve: "Approved: the agent goes on", deny: "Denied: the agent was told", send: "Answered: the agent goes on" }[verb], "done"];
}

function input(question) {
  if (question.input === null || question.input === undefined) return null;
  const { command, ...more } = typeof question.input === "object" ? question.input : {};
  // a command alone reads best; what is asked beside it is never left out
  const isAlone = typeof command === "string" && !Object.keys(more).length;
  const text = isAlone ? command : JSON.stringify(question.input, null, 2);
  return h("pre", { tabindex: "0" }, text);
}

/** One question. {node, isBusy()}: busy while an answer is under way or has just been read. */
export function questionCard(question) {
  let busy = false;
  const said = h("p", { class: "said", role: "status" });
  const buttons = h("div", { class: "buttons" }), deeds = h("span", { class: "buttons", "data-needs": "approve" });
  const reply = h("textarea", { rows: 1, "aria-label": `Answer ${question.name}`, placeholder: "Answer in words" });
  const where = h("a", { href: "#", onclick: open }, "Open");
  const isOpen = question.kind === "question" || question.kind === "silent";
  const more = question.kind === "held"
    ? h("dl", { class: "facts" },
      h("dt", null, "Task"), h("dd", null, question.task || question.argv.join(" "), question.cut && " … (cut)"),
      h("dt", null, "Agent"), h("dd", null, `${question.agent} · mode ${question.mode}`),
      h("dt", null, "Directory"), h("dd", null, question.cwd || "none"),
      question.terms.length > 0 && [h("dt", null, "Terms"), h("dd", null, question.terms.join("; "))],
      h("dt", null, "Asked by"), h("dd", null, `${question.requested_by || "?"} on ${question.origin.name} (${short(question.origin.id)})`))
    : null;

  function open(event) {
    event.preventDefault();
    go({ section: "agents", spawn: question.spawn });
  }

  function tell(verb, told) {
    const [words, tone] = outcome(verb, told, question.broker.name);
    put(said, words);
    said.className = `said ${tone}`;
  }

  // what its machine says once it is there again
  function later(verb, operation) {
    model.addEventListener("event", function heard({ detail: event }) {
      if (event.kind !== "spawn.answered" || event.answer !== operation) return;
      model.removeEventListener("event", heard);
      tell(verb, event);
      if (!event.accepted) free();
    });
  }

  const free = () => { for (const each of buttons.querySelectorAll("button")) each.disabled = false; };

  async function answer(verb, text = "") {
    busy = true;
    for (const each of buttons.querySelectorAll("button")) each.disabled = true;
    put(said, `Sending to ${question.broker.name} …`);
    said.className = "said wait";
    try {
      const isTyped = verb === "send" && question.kind === "silent";
      const body = { spawn: question.spawn, request: isTyped ? null : question.request, verb, text, wait_s: WAIT_S };
      const told = await order("answers", body);
      tell(verb, told);
      if (told.accepted === null) later(verb, told.operation);
    } catch (error) {
      put(said, error instanceof Failed ? error.words : String(error));
      said.className = "said bad";
      // another was first: there is nothing to answer any more
      if (error.code !== "answered") free();
    }
    setTimeout(() => { busy = false; model.changed("spawns"); }, READ_MS);
  }

  put(deeds,
    isOpen
      ? [h("button", { class: "primary", type: "button", onclick: () => reply.value.trim() && answer("send", reply.value) }, "Send"),
        question.kind === "silent" && h("button", { type: "button", onclick: () => answer("approve") }, "Let it go on")]
      : [h("button", { class: "primary", type: "button", onclick: () => answer("approve") }, "Approve"),
        h("button", { type: "button", onclick: () => answer("deny") }, "Deny")]);
  put(buttons, deeds, where);
  const asked = h("time", { title: clock(question.asked) }, ago(question.asked));
  const node = h("article", { class: "card", "data-request": question.request, "aria-label": `${question.name} needs you` },
    h("header", null, mark(question.broker), h("b", null, question.name), h("span", null, `on ${question.broker.name}`),
      asked),
    h("p", null, question.text), question.tool && h("p", { class: "tool" }, question.tool), input(question), more,
    question.expires && h("small", null, `open until ${clock(question.expires)}`),
    isOpen && reply, buttons, said);
  return { node, isBusy: () => busy, tick: () => say(asked, ago(question.asked)) };
}
