// The terminal of one spawn: in a frame where the program for it was fetched, else the log; to type into, or to look at.

import { Failed, get, order } from "./api.js";
import { Attached } from "./attach.js";
import { h, put, say, seen } from "./dom.js";
import { logView } from "./log.js";

const NOTE = 3;
const MOST_HELD = 1 << 20;
const MOST_SIZE = 9999;
// what a phone's keyboard has not
const KEYS = [["Esc", "\x1b"], ["Tab", "\t"], ["Ctrl-C", "\x03"], ["←", "\x1b[D", "Left"], ["↑", "\x1b[A", "Up"], ["↓", "\x1b[B", "Down"], ["→", "\x1b[C", "Right"],
  ["Home", "\x1b[H"], ["End", "\x1b[F"], ["PgUp", "\x1b[5~", "Page up"], ["PgDn", "\x1b[6~", "Page down"]];
const CONTROL = /^[@-_a-z]/; // the letters that Ctrl makes something of
const READ = "relay.screenreader"; // with it xterm.js takes no letters of dead keys and pickers: it is asked for
const WANTED = "@xterm/xterm 6.0.0 (1.4 MB) from the npm registry";

/** A view of one spawn's terminal: {node, close()}. */
export function terminalView(spawn, isEnded) {
  const banner = h("p", { class: "banner", role: "status" }, "Attaching …");
  const deeds = h("div", { class: "buttons" }), place = h("div", { class: "termplace" });
  const node = h("div", { class: "termbox" }, h("div", { class: "termbar" }, banner, deeds), place);
  // a key takes nobody's place: a phone's keyboard stays open
  const key = (text, name, onclick) => h("button", { type: "button", "aria-label": name || text, onmousedown: (event) => event.preventDefault(), onclick }, text);
  const control = key("Ctrl", "Ctrl, with the next letter", () => hold(control.getAttribute("aria-pressed") !== "true"));
  const keys = h("div", { class: "keys", role: "group", "aria-label": "Keys" }, control, KEYS.map(([text, sent, name]) => key(text, name, () => shown.frame?.press(sent))));
  const shown = { log: null, frame: null };
  let attached = null, drives = true, installed = false, isClosed = false;

  const hold = (isHeld) => control.setAttribute("aria-pressed", String(isHeld));
  hold(false);

  function type(bytes) {
    const text = String.fromCharCode(bytes[0]);
    // not what begins with an escape: the terminal itself says such things when it is asked
    if (text !== "\x1b" && control.getAttribute("aria-pressed") === "true") {
      hold(false);
      if (CONTROL.test(text)) bytes = Uint8Array.from(bytes, (each, i) => (i ? each : each & 31));
    }
    attached.type(bytes);
  }

  const button = (text, onclick, primary = false) => h("button", { type: "button", class: primary ? "primary" : "", onclick }, text);
  const tell = (text, tone = "") => { say(banner, text); banner.className = `banner ${tone}`; };

  function attach(drive) {
    const offset = attached?.offset ?? null;
    attached?.leave();
    drives = drive;
    tell("Attaching …");
    attached = new Attached(spawn.id, { drive, offset }, { hello, out, seat, lost, said: (text) => tell(text, "wait"), over });
    const size = shown.frame?.size;
    if (size) attached.resize(size.rows, size.columns);
  }

  function hello(told, again) {
    if (!told.terminal) return withoutTerminal(told);
    if (!installed) return withoutProgram();
    shown.frame ||= framed(spawn, { typed: type, sized: (size) => attached.resize(size.rows, size.columns), shown: (n) => attached.shown(n), left });
    if (place.firstChild !== shown.frame.node) put(place, shown.frame.node, keys);
    seat({ drives: told.drives, driver: told.driver, again });
  }

  function seat(told) {
    const by = told.driver || "";
    const isMine = Boolean(told.drives);
    shown.frame?.drive(drives && isMine);
    keys.hidden = !(drives && isMine);
    if (!drives) tell(by ? `Its terminal, to look at: ${by} drives.` : "Its terminal, to look at.");
    else tell(isMine ? "You drive: what you type goes to it. Ctrl-] leaves it running." : `${by || "Another"} drives now; Drive takes it back.`, isMine ? "" : "wait");
    put(deeds,
      shown.frame?.reading(),
      drives && isMine ? button("Only look", () => attach(false)) : button("Drive", () => attach(true), true),
      button("Detach", left));
  }

  const out = (bytes, stream) => {
    if (shown.frame) shown.frame.show(stream === NOTE ? noted(bytes) : bytes);
    else attached.shown(bytes.length);
  };

  function lost() {
    shown.frame?.drive(false);
    tell("The connection broke off; it goes on by itself when it can.", "wait");
  }

  function over(error) {
    shown.frame?.drive(false);
    if (error) {
      tell([error.message, error.why, error.hint && `try: ${error.hint}`].filter(Boolean).join(" — "), "bad");
      put(deeds, button("Attach again", () => attach(drives)));
    } else {
      tell("It has ended.");
      put(deeds);
    }
  }

  function left() {
    attached?.leave();
    shown.frame?.drive(false);
    tell(`You left; ${spawn.name} goes on.`);
    put(deeds, button("Attach again", () => attach(drives), true));
    deeds.firstChild.focus();
  }

  function log() {
    shown.log ||= logView(spawn, isEnded);
    put(place, shown.log.node);
  }

  function withoutProgram() {
    attached.leave();
    log();
    tell("Its terminal cannot be drawn here yet: this is its log.", "wait");
    put(deeds, h("div", { class: "hint" }, h("p", null, "In a terminal: ", h("code", null, `relay attach ${spawn.id}`)),
      h("p", null, "To have it here: ", h("code", null, "relay dashboard terminal install"), ` fetches ${WANTED}, once, and checks it by its hash.`)));
  }

  function withoutTerminal(told) {
    if (!told.input) attached.leave();
    log();
    tell(told.input ? "It has no terminal: this is its log, and each line you type goes to its input." : "It has no terminal: this is its log, and each line you type is sent to it (relay send).");
    put(deeds);
    const line = h("input", { "aria-label": `A line for ${spawn.name}`, placeholder: told.input ? "A line for its input" : "A line to send", autocapitalize: "off", spellcheck: "false" });
    const form = h("form", { class: "talk pad", "data-needs": told.input ? "terminal" : "approve" }, line, h("button", { type: "submit", class: "primary" }, "Send"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = line.value;
      if (told.input) attached.type(new TextEncoder().encode(`${text}\n`));
      else if (!text.trim() || !(await sent(text))) return;
      if (line.value === text) line.value = "";
    });
    place.append(form);
  }

  async function sent(text) {
    try {
      const told = await order("answers", { spawn: spawn.id, verb: "send", text, wait_s: 10 });
      tell(told.accepted === false ? told.said : "Sent.", told.accepted === false ? "bad" : "");
      return told.accepted !== false;
    } catch (error) {
      tell(error instanceof Failed ? error.words : String(error), "bad");
      return false;
    }
  }

  async function begin() {
    try {
      installed = (await get("dashboard")).terminal === true;
    } catch { /* the log is shown */ }
    if (!isClosed) attach(true);
  }

  const again = () => attached?.again();
  addEventListener("linked-again", again);
  begin();
  return { node, close: () => { isClosed = true; removeEventListener("linked-again", again); attached?.leave(); shown.frame?.close(); shown.log?.close(); } };
}

const noted = (bytes) => new TextEncoder().encode(`\r\n[relay] ${seen(new TextDecoder().decode(bytes).trim())}\r\n`);
const isSize = (value) => Number.isInteger(value) && value > 0 && value <= MOST_SIZE;

const isRead = () => localStorage.getItem(READ) === "on";

/** The frame: it has no origin and no token; what it says is looked at before it is believed. */
function framed(spawn, { typed, sized, shown, left }) {
  const node = h("iframe", { class: "term", title: `Terminal of ${spawn.name}`, sandbox: "allow-scripts", src: "/terminal", referrerpolicy: "no-referrer" });
  const held = [];
  let isReady = false, mayType = false, holds = 0;
  const made = { node, size: null, drive, show, reading, press: (text) => tell({ k: "press", text }), close: () => { removeEventListener("message", heard); dark.removeEventListener("change", dress); looks.disconnect(); } };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const looks = new MutationObserver(dress);
  // it has no origin that could be named here
  const tell = (message) => node.contentWindow?.postMessage(message, "*");

  function heard(event) {
    if (event.source !== node.contentWindow || event.origin !== "null" || typeof event.data !== "object" || !event.data) return;
    const { k, data, rows, columns, bytes } = event.data;
    if (k === "in" && mayType && data instanceof Uint8Array) typed(data);
    else if (k === "size" && isSize(rows) && isSize(columns)) sized((made.size = { rows, columns }));
    else if (k === "shown" && Number.isInteger(bytes) && bytes > 0) shown(bytes);
    else if (k === "leave") left();
    else if (k === "ready") ready();
  }

  function ready() {
    isReady = true;
    dress();
    drive(mayType);
    for (const each of held.splice(0)) tell({ k: "out", data: each });
    tell({ k: "focus" });
  }

  function dress() {
    const theme = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
    if (isReady) tell({ k: "look", look: theme, small: innerWidth < 720, isRead: isRead() });
  }

  function reading() {
    const button = h("button", {
      class: "plain", type: "button", "aria-pressed": String(isRead()),
      onclick() {
        localStorage.setItem(READ, isRead() ? "off" : "on");
        button.setAttribute("aria-pressed", String(isRead()));
        dress();
      },
    }, "Screen reader");
    return button;
  }

  function drive(may) {
    mayType = may;
    if (isReady) tell({ k: "drive", drives: may });
  }

  function show(bytes) {
    if (isReady) return tell({ k: "out", data: bytes });
    held.push(bytes);
    holds += bytes.length;
    while (holds > MOST_HELD) {
      const gone = held.shift().length;
      holds -= gone;
      shown(gone);
    }
  }

  addEventListener("message", heard);
  dark.addEventListener("change", dress);
  looks.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return made;
}
