// One WebSocket for all that happens. It goes on by number where it was cut, and says when what is shown may be old.

import { refused, token } from "./api.js";

const SILENT_MS = 40_000, CONNECT_MS = 15_000;
const FIRST_RETRY_MS = 400;
const LAST_RETRY_MS = 15_000;
const REVOKED = 4401, NO_SCOPE = 4403;

export class Live extends EventTarget {
  #socket = null;
  #seq = null;
  #retry = FIRST_RETRY_MS;
  #timer = 0;
  #silent = 0;
  #heardAt = 0;
  #wasUp = false;
  #listens = false;
  isUp = false;
  rtt = null;

  /** Hear of all that happens after an event's number. */
  start(seq) {
    this.stop();
    this.#seq = seq;
    this.#wasUp = false;
    if (!this.#listens) this.#wakeUp();
    this.#listens = true;
    this.#connect();
  }

  /** Hear no more. */
  stop() {
    const socket = this.#socket;
    clearTimeout(this.#timer);
    clearTimeout(this.#silent);
    this.#socket = null;
    this.#timer = 0;
    this.isUp = false;
    socket?.close();
  }

  #wakeUp() {
    for (const wake of ["online", "pageshow", "focus"]) addEventListener(wake, () => this.#now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#now());
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  // a machine that slept has no timers that ran: what it had open may be gone without a word
  #now() {
    if (this.isUp && Date.now() - this.#heardAt > SILENT_MS) this.#giveUp();
    if (!this.isUp && this.#timer) {
      clearTimeout(this.#timer);
      this.#retry = FIRST_RETRY_MS;
      this.#connect();
    }
  }

  // not by its close alone: who does not answer does not answer that either
  #giveUp() {
    const socket = this.#socket;
    if (!socket) return;
    this.#closed(socket, 0);
    socket.close();
  }

  #connect() {
    this.#timer = 0;
    const shown = token();
    if (!shown) return void refused(shown);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/events`);
    this.#socket = socket;
    clearTimeout(this.#silent);
    this.#silent = setTimeout(() => this.#giveUp(), CONNECT_MS);
    const began = performance.now();
    socket.onopen = () => {
      this.rtt = performance.now() - began;
      socket.send(JSON.stringify({ token: shown, since: this.#seq }));
    };
    socket.onmessage = (message) => socket === this.#socket && this.#heard(JSON.parse(message.data));
    socket.onclose = (closed) => this.#closed(socket, closed.code, shown);
  }

  #heard(event) {
    clearTimeout(this.#silent);
    this.#silent = setTimeout(() => this.#giveUp(), SILENT_MS);
    this.#heardAt = Date.now();
    if (event.kind === "hello") {
      this.#seq ??= event.seq;
      const again = this.#wasUp;
      this.#wasUp = true;
      this.#retry = FIRST_RETRY_MS;
      this.isUp = true;
      this.#tell("up", { hello: event, again });
    } else if (event.kind === "beat") this.#tell("beat", event);
    else {
      if (event.seq !== undefined) this.#seq = event.seq;
      this.#tell(event.kind === "reset" ? "reset" : "event", event);
    }
  }

  #closed(socket, code, shown) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#silent);
    const was = this.isUp;
    this.isUp = false;
    if (code === REVOKED && refused(shown)) return;
    if (code === NO_SCOPE) return this.#tell("denied");
    this.#tell("down", { was });
    this.#timer = setTimeout(() => this.#connect(), this.#retry * (0.7 + Math.random() * 0.6));
    this.#retry = Math.min(this.#retry * 2, LAST_RETRY_MS);
  }
}
