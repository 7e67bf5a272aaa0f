// A task's terminal over a WebSocket: what comes, what is typed, and going on by itself after a break.

import { ref, refused, token } from "./api.js";

const PIECE = 2048;
const MOST_UNACKNOWLEDGED = 64;
const MOST_WAITING = 256 * 1024;
const KEPT_MS = 15_000;
const FIRST_RETRY_MS = 300, LAST_RETRY_MS = 5000;
const DONE = 1000, REVOKED = 4401, NO_SCOPE = 4403;
const NOWHERE = "what you type goes nowhere: another drives, or the task takes no input any more";
const PASSING = new Set(["unreachable", "not_running", "internal", "store_fault"]);
const MOST_UNSHOWN = 8 << 20, FEW_UNSHOWN = 1 << 20;

const packed = (bytes) => btoa(String.fromCharCode(...bytes));
const unpacked = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

/**
 * One viewer. It tells `hello` (message, again), `out` (bytes, stream), `seat` (message), `lost` (), `said` (text)
 * and `over` (error or null), each once for what it means.
 */
export class Attached {
  #socket = null;
  #source = packed(crypto.getRandomValues(new Uint8Array(16)));
  #n = 0;
  #unacknowledged = new Map();
  #waiting = [];
  #waits = 0;
  #offset = null;
  #isGreeted = false;
  #isUp = false;
  #isLeft = false;
  #brokeAt = 0;
  #sentAt = 0;
  #retry = FIRST_RETRY_MS;
  #timer = 0;
  #size = null;
  #unshown = 0;
  #isAnothers = false;

  constructor(id, { drive, offset = null, who = "dashboard" }, heard) {
    this.id = id;
    this.drive = drive;
    this.who = who;
    this.heard = heard;
    this.#offset = offset;
    this.#connect();
  }

  /** Where in the output the next viewer goes on. */
  get offset() {
    return this.#offset;
  }

  /** Type something: bytes. */
  type(bytes) {
    if (!this.drive || this.#isLeft) return;
    if (this.#isAnothers) return void this.heard.said(NOWHERE);
    if (this.#brokeAt && Date.now() - this.#brokeAt > KEPT_MS) return;
    if (this.#waits + bytes.length > MOST_WAITING) return void this.heard.said("too much was typed at once: the rest is dropped");
    for (let at = 0; at < bytes.length; at += PIECE) this.#waiting.push(bytes.slice(at, at + PIECE));
    this.#waits += bytes.length;
    this.#flush();
  }

  /** The terminal has another size. */
  resize(rows, columns) {
    this.#size = { rows, columns };
    if (this.#isUp && this.drive) this.#send({ k: "size", ...this.#size });
  }

  /** So many bytes were drawn: what is not drawn in time is asked for again, later. */
  shown(bytes) {
    this.#unshown = Math.max(0, this.#unshown - bytes);
    if (!this.#socket && !this.#timer && !this.#isLeft && this.#unshown < FEW_UNSHOWN) this.#connect();
  }

  /** Leave; the task goes on. */
  leave() {
    this.#isLeft = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
  }

  /** The page was cut off: what this is connected by may have gone without a word. */
  again() {
    const socket = this.#socket;
    if (!socket || this.#isLeft) return;
    if (this.#unacknowledged.size && !this.#brokeAt) this.#brokeAt = this.#sentAt;
    this.heard.lost();
    this.#closed(0, null);
    socket.close();
  }

  #connect() {
    this.#timer = 0;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/spawns/${ref(this.id)}/attach`);
    this.#socket = socket;
    const shown = token();
    let error = null;
    socket.onopen = () => socket.send(JSON.stringify({
      token: shown, source: this.#source, drive: this.drive, again: this.#isGreeted, who: this.who, offset: this.#offset, ...(this.drive ? this.#size : null),
    }));
    socket.onmessage = (message) => {
      if (socket !== this.#socket) return;
      const told = JSON.parse(message.data);
      if (told.error) error = told.error;
      else this.#take(told);
    };
    socket.onclose = (closed) => socket === this.#socket && this.#closed(closed.code, error, shown);
  }

  #take(told) {
    if (told.k === "out") {
      const bytes = unpacked(told.data);
      this.#offset = told.next;
      this.#acknowledged(told.typed || 0);
      this.heard.out(bytes, told.stream);
      this.#unshown += bytes.length;
      if (this.#unshown > MOST_UNSHOWN) this.#pause();
    } else if (told.k === "typed") {
      this.#acknowledged(told.n);
      if (!told.taken) this.heard.said(NOWHERE);
    } else if (told.k === "driver") {
      this.#seated(!told.drives);
      this.heard.seat(told);
    } else if (told.k === "hello") this.#greeted(told);
  }

  #greeted(hello) {
    const again = this.#isGreeted;
    this.#giveUpWhatIsOld();
    this.#isGreeted = this.#isUp = true;
    this.#brokeAt = 0;
    this.#retry = FIRST_RETRY_MS;
    this.#seated(this.drive && !hello.drives && hello.driver !== null);
    if (this.#isAnothers) this.#unacknowledged.clear();
    this.heard.hello(hello, again);
    for (const each of this.#unacknowledged.values()) this.#send(each);
    if (this.#size && this.drive) this.#send({ k: "size", ...this.#size });
    this.#flush();
  }

  // what was sent while another drives might be typed once that one has left
  #seated(isAnothers) {
    this.#isAnothers = isAnothers;
    if (!isAnothers) return;
    this.#waiting = [];
    this.#waits = 0;
  }

  #pause() {
    const socket = this.#socket;
    this.#socket = null;
    this.#isUp = false;
    socket.close();
  }

  // a key that arrives much later does what nobody means any more
  #giveUpWhatIsOld() {
    if (!this.#brokeAt || Date.now() - this.#brokeAt <= KEPT_MS) return;
    if (this.#unacknowledged.size || this.#waits) this.heard.said("what was typed while it could not be reached is dropped");
    this.#unacknowledged.clear();
    this.#waiting = [];
    this.#waits = 0;
  }

  #flush() {
    while (this.#isUp && this.#waiting.length && this.#unacknowledged.size < MOST_UNACKNOWLEDGED) {
      const bytes = this.#waiting.shift();
      this.#waits -= bytes.length;
      if (!this.#unacknowledged.size) this.#sentAt = Date.now();
      const message = { k: "in", n: ++this.#n, data: packed(bytes) };
      this.#unacknowledged.set(message.n, message);
      this.#send(message);
    }
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #acknowledged(to) {
    for (const n of this.#unacknowledged.keys()) if (n <= to) this.#unacknowledged.delete(n);
    this.#flush();
  }

  #closed(code, error, shown) {
    this.#socket = null;
    this.#isUp = false;
    const isPassing = error ? this.#isGreeted && PASSING.has(error.code) : code !== DONE && code !== REVOKED && code !== NO_SCOPE;
    if (code === REVOKED) refused(shown);
    if (!isPassing) {
      this.#isLeft = true;
      const why = code === NO_SCOPE ? { message: "this device may not open terminals", hint: "relay dashboard --scopes view,terminal" } : error;
      return void this.heard.over(why);
    }
    if (!this.#brokeAt) {
      this.#brokeAt = Date.now();
      this.heard.lost();
    }
    this.#timer = setTimeout(() => this.#connect(), this.#retry);
    this.#retry = Math.min(this.#retry * 2, LAST_RETRY_MS);
  }
}
