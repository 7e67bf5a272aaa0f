// How things read: states by icon and word, times, machines.

/** state -> [word, icon, tone]; the words are those of the command. */
const STATES = {
  queued: ["Queued", "○", ""],
  delivered: ["Queued", "○", ""],
  waiting: ["Queued", "○", ""],
  held: ["Needs you", "◆", "needs"],
  starting: ["Starting", "▷", "works"],
  running: ["Working", "▶", "works"],
  needs_input: ["Needs you", "◆", "needs"],
  completed: ["Done", "✓", "good"],
  failed: ["Failed", "✕", "bad"],
  timed_out: ["Failed", "✕", "bad"],
  cancelled: ["Stopped", "■", ""],
  rejected: ["Refused", "⊘", "bad"],
  expired: ["Expired", "⌛", ""],
  lost: ["Lost", "?", "bad"],
};
const CLOCKS_DIFFER_MS = 3000;
const ENDED = new Set(["completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"]);
const STARTED = new Set(["starting", "running", "needs_input", "held", "waiting", "delivered"]);

export const WORDS = ["Needs you", "Working", "Starting", "Queued", "Unreachable", "Failed", "Lost", "Refused", "Stopped", "Expired", "Done"];
export const isEnded = (state) => ENDED.has(state);
export const needsPerson = (state) => state === "held" || state === "needs_input";

/** What a spawn is shown as: {word, icon, tone, old}; `old` is the last word of a machine that is out of reach. */
export function shown(spawn, isThere) {
  const [word, icon, tone] = STATES[spawn.state] || [spawn.state, "?", ""];
  if (isThere || isEnded(spawn.state) || !STARTED.has(spawn.state)) return { word, icon, tone, old: "" };
  return { word: "Unreachable", icon: "?", tone: "", old: `${word} ${ago(spawn.truth.at)} ago` };
}

/** How a state alone reads, in a timeline. */
export function stateWord(state) {
  return (STATES[state] || [state])[0];
}

const STEPS = [[60, "s"], [60, "m"], [24, "h"], [Infinity, "d"]];

/** Seconds in words: 40s, 11m, 3h, 2d. */
export function span(seconds) {
  let left = Math.max(0, Math.round(seconds));
  for (const [size, unit] of STEPS) {
    if (left < size) return `${left}${unit}`;
    left = Math.floor(left / size);
  }
  return "";
}

let ahead = 0;

/** What the broker's clock says now, that all moments are of: this device's own may be another. */
export function setClock(at) {
  const by = Date.parse(at) - Date.now();
  ahead = Math.abs(by) > CLOCKS_DIFFER_MS ? by : 0;
}

/** How long ago a moment was. */
export const ago = (at) => (at ? span((Date.now() + ahead - Date.parse(at)) / 1000) : "unknown");

const AWAY = { down: "stopped", asleep: "asleep", gone: "asleep" };

/** How a machine stands that is not linked, in the command's words; empty where nothing is known of it. */
export const away = (broker) => AWAY[broker.presence] || "";

/** A moment of a day, with the date where it is another day. */
export function clock(at) {
  if (!at) return "unknown";
  const when = new Date(at);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}

/** Bytes in words. */
export function size(bytes) {
  let left = bytes, unit = "B";
  for (const next of ["KiB", "MiB", "GiB"]) {
    if (left < 1024) break;
    left /= 1024;
    unit = next;
  }
  return `${unit === "B" ? left : left.toFixed(1)} ${unit}`;
}

/** The hue of a machine, from its fingerprint. */
export function hue(id) {
  let sum = 7;
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) % 9973;
  return sum % 360;
}

/** Two letters for a machine: H1 for hetzner-1, LA for laptop. */
export function monogram(name) {
  const parts = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const two = parts.length > 1 ? parts[0][0] + parts[parts.length - 1][0] : (parts[0] || "?").slice(0, 2);
  return two.toUpperCase();
}

/** The beginning of a fingerprint. */
export const short = (id) => id.slice(0, 7);

/** How many of what. */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
