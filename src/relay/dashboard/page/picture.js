// Who is linked with whom, as a picture: this machine in the middle, direct links drawn through, relayed ones dashed.

import { s } from "./dom.js";
import { url } from "./route.js";
import { hue, monogram } from "./words.js";

const W = 720, H = 300, R = 22;

/** An SVG of the mesh. The table beside it says the same in words. */
export function picture(brokers) {
  const own = brokers.find((each) => each.self), others = brokers.filter((each) => !each.self);
  const at = new Map([[own?.id, [W / 2, H / 2]]]);
  others.forEach((each, i) => {
    const angle = (i / others.length) * 2 * Math.PI - Math.PI / 2;
    at.set(each.id, [W / 2 + Math.cos(angle) * W * 0.38, H / 2 + Math.sin(angle) * H * 0.32]);
  });
  const lines = others.map((each) => {
    const [x1, y1] = at.get(each.link === "relayed" && at.has(each.via) ? each.via : own.id), [x2, y2] = at.get(each.id);
    const kind = each.link || "none";
    return [s("line", { x1, y1, x2, y2, class: `link ${kind}` }),
      each.rtt_ms !== null && s("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 6, class: "rtt" }, `${Math.round(each.rtt_ms)} ms`)];
  });
  const dots = brokers.map((each) => {
    const [x, y] = at.get(each.id);
    const isThere = each.self || each.online === true;
    return s("a", { href: url({ section: "mesh", broker: each.id }), class: `dot${isThere ? "" : " away"}` },
      s("circle", { cx: x, cy: y, r: R, vars: { "--hue": hue(each.id) } }),
      s("text", { x, y: y + 5, class: "letters", vars: { "--hue": hue(each.id) } }, monogram(each.name)),
      s("text", { x, y: y < H / 2 ? y - R - 8 : y + R + 16, class: "label" }, each.name));
  });
  const text = others.map((each) => `${each.name} ${each.link || "not linked"}`).join(", ");
  return s("svg", { viewBox: `0 0 ${W} ${H}`, class: "picture", role: "group", "aria-label": `Links of ${own?.name}: ${text || "none"}` }, lines, dots);
}
