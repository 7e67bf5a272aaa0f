// The broker's own API, with this device's token.

export const TOKEN = "relay.token";
const SESSION = "/session";
const LONGEST_MS = 60_000, LOST_MS = 600_000;

export class Failed extends Error {
  constructor(status, error) {
    super(error.message || `the broker answered ${status}`);
    this.status = status;
    this.code = error.code || "";
    this.why = error.why || "";
    this.hint = error.hint || "";
  }

  /** What, why, and what to do next, in one line. */
  get words() {
    return [this.message, this.why, this.hint && `try: ${this.hint}`].filter(Boolean).join(" — ");
  }
}

export const token = () => localStorage.getItem(TOKEN);
export const signOut = () => localStorage.removeItem(TOKEN);

/** A token was refused: whether this browser is signed out. It is not where it came back with another one meanwhile. */
export function refused(shown) {
  const isOut = !token() || shown === token();
  if (isOut) dispatchEvent(new CustomEvent("signed-out"));
  return isOut;
}

async function answer(path, init = {}) {
  const headers = { ...init.headers }, shown = token();
  // who is signed out knows the answer
  if (!shown && path !== SESSION) throw new Failed(401, { code: "no_token", message: "this browser is not signed in", hint: "relay dashboard" });
  if (shown) headers.Authorization = `Bearer ${shown}`;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(0, { code: "no_broker", message: "the broker does not answer", hint: "relay up --detach" });
  }
  if (response.ok) return response;
  let said = {};
  try {
    said = (await response.json()).error || {};
  } catch { /* no document of ours: the status says it */ }
  if (response.status === 401 && path !== SESSION) refused(shown);
  throw new Failed(response.status, said);
}

/** Change a single-use code for a token of this device. */
export async function signIn(code) {
  const agent = navigator.userAgent;
  const kind = /iPhone|iPad/.test(agent) ? "iPhone" : /Android/.test(agent) ? "Android" : /Mac/.test(agent) ? "Mac" : "computer";
  const browser = /Firefox/.test(agent) ? "Firefox" : /Edg/.test(agent) ? "Edge" : /Chrom/.test(agent) ? "Chrome" : "Safari";
  const body = JSON.stringify({ code, device: `${browser} on ${kind}` });
  const made = await (await answer(SESSION, { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
  localStorage.setItem(TOKEN, made.token);
  return made.device;
}

/** What `GET /api/v1/PATH` says. */
export const get = async (path) => (await answer(`/api/v1/${path}`, { signal: AbortSignal.timeout(LONGEST_MS) })).json();

/** A new operation id. */
export const operationId = () => crypto.randomUUID().replaceAll("-", "");

/** What `POST /api/v1/PATH` says; the operation id makes a repeated one the same one. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  const whole = JSON.stringify({ operation: operationId(), requested_by: "dashboard", ...body });
  return (await answer(`/api/v1/${path}`, { method: "POST", headers, body: whole, signal: AbortSignal.timeout(LONGEST_MS) })).json();
}

const orders = new Map();

/**
 * The same, once: asked for again while it is under way it is that one and no second, and asked for again soon after its
 * answer was lost it is sent as the same one.
 */
export function order(path, body = {}) {
  const key = JSON.stringify([path, body]), now = Date.now();
  let known = orders.get(key);
  if (!known || (!known.going && now - known.at > LOST_MS)) orders.set(key, (known = { operation: operationId(), at: now, going: null }));
  return (known.going ||= post(path, { operation: known.operation, ...body }).then((told) => {
    orders.delete(key);
    return { ...told, operation: known.operation };
  }, (error) => {
    known.going = null;
    if (error.status >= 400 && error.status < 500) orders.delete(key);
    throw error;
  }));
}

/** The lines of a stream, each a document, until it ends or is left. */
export async function* lines(path, signal) {
  const response = await answer(`/api/v1/${path}`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) if (line) yield JSON.parse(line);
  }
  if (rest) yield JSON.parse(rest);
}

export const ref = encodeURIComponent;
