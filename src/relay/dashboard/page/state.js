// What the page knows: machines, spawns, what needs a person. Filled by lists, kept true by events.

import { get, ref } from "./api.js";
import { isEnded, needsPerson } from "./words.js";

const FIRST = 60;
const MOST = 1000;
const GATHER_MS = 60;
const MISSED_MS = 2000;
const ONE_BY_ONE = 4;
const MISSED = Symbol("missed");

class Model extends EventTarget {
  brokers = [];
  spawns = new Map();
  questions = [];
  unasked = [];
  status = null;
  matched = 0;
  seq = null;
  isLoaded = false;
  isWhole = false; // as many as are listed here
  #dirty = new Set();
  #gathering = 0;
  #again = new Set();
  #loading = 0;
  #meanwhile = new Set();

  changed(what) {
    this.dispatchEvent(new CustomEvent("changed", { detail: what }));
  }

  get own() {
    return this.brokers.find((each) => each.self) || null;
  }

  broker(id) {
    return this.brokers.find((each) => each.id === id) || null;
  }

  isThere(id) {
    const found = this.broker(id);
    return !found || found.self || found.online === true;
  }

  /** All lists anew. What happens while they are on their way is asked for once more: they may be from before it. */
  async load() {
    this.#loading += 1;
    try {
      await this.#load();
    } finally {
      this.#loading -= 1;
      for (const each of this.#meanwhile) this.#soon(each);
      if (!this.#loading) this.#meanwhile.clear();
    }
  }

  async #load() {
    const around = Promise.all([get("brokers"), get("status")]);
    around.catch(() => {}); // where the listing fails too, that is told
    const listing = await get(`listing?all=1&limit=${FIRST}`);
    this.seq = listing.seq;
    this.#take(listing);
    this.isLoaded = true;
    this.changed("spawns");
    performance.mark("rows");
    [this.brokers, this.status] = await around;
    this.changed("all");
    await Promise.all([
      this.#review(),
      listing.matched > FIRST && get(`listing?all=1&limit=${MOST}`).then((all) => this.#take(all)),
    ]);
    this.isWhole = true;
    this.changed("all");
  }

  #take(listing) {
    this.matched = listing.matched;
    const found = new Map(listing.spawns.map((each) => [each.id, each]));
    this.spawns = found;
  }

  async #review() {
    const review = await get("review");
    this.questions = review.questions;
    this.unasked = review.unreachable;
  }

  /** Something happened. */
  heard(event) {
    if (event.spawn) {
      if (this.#loading && event.kind !== "spawn.log") this.#meanwhile.add(event.spawn);
      const known = this.spawns.get(event.spawn);
      if (event.kind === "spawn.state" && known) {
        known.state = event.state;
        known.reason = event.reason || "";
        known.since = event.at;
        this.changed("spawns");
      }
      if (event.kind !== "spawn.log") this.#soon(event.spawn);
      if (event.kind !== "spawn.log" && (event.kind !== "spawn.state" || needsPerson(event.state) || isEnded(event.state))) {
        this.#soonAgain("review");
      }
    }
    if (/^(broker|grant|invite|roster)\./.test(event.kind)) this.#soonAgain("brokers");
    if (/^(queue|outbox)\./.test(event.kind)) this.#soonAgain("status");
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
  }

  /** Ask anew for what changes without an event: brokers. */
  look() {
    this.#soonAgain("brokers");
  }

  #soon(spawn) {
    this.#dirty.add(spawn);
    this.#gather();
  }

  #soonAgain(what) {
    this.#again.add(what);
    this.#gather();
  }

  #gather(in_ms = GATHER_MS) {
    this.#gathering ||= setTimeout(() => this.#flush(), in_ms);
  }

  async #flush() {
    const spawns = [...this.#dirty], again = [...this.#again];
    this.#dirty.clear();
    this.#again.clear();
    const asked = [
      ...again.map((what) => this.#reload(what).catch((error) => this.#missed(error, this.#again, [what]))),
      ...(spawns.length > ONE_BY_ONE
        ? [this.#recent(spawns).catch((error) => this.#missed(error, this.#dirty, spawns))]
        : spawns.map((each) => this.#one(each).catch((error) => this.#missed(error, this.#dirty, [each])))),
    ];
    const isWhole = (await Promise.all(asked)).every((each) => each !== MISSED);
    this.changed(again.includes("brokers") ? "all" : "spawns");
    this.#gathering = 0;
    if (this.#dirty.size || this.#again.size) this.#gather(isWhole ? GATHER_MS : MISSED_MS);
  }

  // the broker was busy, say: it is asked once more. Where the connection went, all is asked for when it is back
  #missed(error, list, what) {
    if (error.status >= 400 && error.status < 500) return undefined;
    for (const each of what) if (error.status >= 500) list.add(each);
    return MISSED;
  }

  async #reload(what) {
    if (what === "review") await this.#review();
    else if (what === "brokers") [this.brokers, this.status] = await Promise.all([get("brokers"), get("status")]);
    else this.status = await get("status");
  }

  async #one(id) {
    const found = await get(`spawns/${ref(id)}`);
    if (!this.spawns.has(id)) {
      this.matched += 1;
      this.spawns = new Map([[id, found], ...this.spawns]);
    } else this.spawns.set(id, found);
  }

  async #recent(ids) {
    const listing = await get(`listing?all=1&limit=${Math.min(MOST, ids.length + FIRST)}`);
    const fresh = listing.spawns.filter((each) => !this.spawns.has(each.id));
    for (const each of listing.spawns) if (this.spawns.has(each.id)) this.spawns.set(each.id, each);
    this.matched = listing.matched;
    if (fresh.length) this.spawns = new Map([...fresh.map((each) => [each.id, each]), ...this.spawns]);
    const known = new Set(listing.spawns.map((each) => each.id));
    await Promise.all(ids.filter((id) => !known.has(id)).slice(0, 50).map((id) => this.#one(id)));
  }
}

export const model = new Model();
