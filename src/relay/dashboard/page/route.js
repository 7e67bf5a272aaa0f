// Where the page is, in its URL: the section, the broker that everything is scoped to, filters, what is open.

const SECTIONS = ["agents", "mesh", "queue"];

/** The present place: {section, broker, state, q, spawn}. */
export function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const found = Object.fromEntries(new URLSearchParams(query || ""));
  return { ...found, section: SECTIONS.includes(path) ? path : "agents" };
}

/** The URL of a place; what is null or empty is left out. */
export function url(changes) {
  const { section, ...rest } = { ...place(), ...changes };
  const kept = Object.entries(rest).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  return `#/${section}${query ? `?${query}` : ""}`;
}

/** Go to a place; `quiet` where going back should not come by it. */
export function go(changes, quiet = false) {
  const to = url(changes);
  if (to === location.hash) return;
  if (quiet) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to;
}

export { SECTIONS };
