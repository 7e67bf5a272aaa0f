// The browsers and phones that may open this page.

import { get, post, ref } from "./api.js";
import { dialog, h, redraw, toast } from "./dom.js";
import { ago } from "./words.js";

/** A list that keeps itself true: {node, update()}. */
export function devicesView() {
  const node = h("section", { class: "one", "aria-label": "Devices" });

  async function revoke(device) {
    const text = `${device.name} is signed out at once and needs a new code to come back.`;
    if (!(await dialog(`Revoke ${device.name}?`, h("p", null, text), { yes: "Revoke", tone: "danger" }))) return;
    try {
      await post(`dashboard/devices/${ref(device.id)}/revoke`);
      toast(`${device.name} is signed out`);
    } catch (error) {
      toast(error.words || String(error), true);
    }
    update();
  }

  async function update() {
    let found;
    try {
      found = await get("dashboard/devices");
    } catch {
      return;
    }
    const key = JSON.stringify(found);
    if (node.dataset.now === key || node.matches(":active")) return;
    node.dataset.now = key;
    redraw(node, h("h2", null, "Devices that may open this page"),
      h("ul", { class: "plain-list" }, found.map((each) => h("li", null, h("b", null, each.name), h("code", null, each.fingerprint),
        h("span", null, each.scopes.join(", ")), h("small", null, `since ${ago(each.created)}, used ${ago(each.last_used)} ago`),
        h("button", { type: "button", class: "danger", "data-needs": "trust", onclick: () => revoke(each), "aria-label": `Revoke ${each.name} ${each.fingerprint}` }, "Revoke …")))),
      h("p", null, "A phone: ", h("code", null, "relay dashboard publish"), ", then ", h("code", null, "relay dashboard pair"), "."));
  }

  update();
  return { node, update };
}
