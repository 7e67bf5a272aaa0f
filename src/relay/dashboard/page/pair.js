// Letting another machine in: a code to read out, its command, and the words that both people compare.

import { post } from "./api.js";
import { h, put } from "./dom.js";
import { model } from "./state.js";
import { clock } from "./words.js";

/** Show a one-time code until it is used, over, or the dialog is left. */
export async function pairDialog() {
  const body = h("div", { role: "status" }, h("p", null, "Making a code …"));
  const box = h("dialog", { class: "wide", "aria-labelledby": "pair-title" },
    h("h2", { id: "pair-title" }, "Pair a machine"), body,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => box.close() }, "Close")));
  let made = null;
  const heard = ({ detail: event }) => {
    if (event.kind !== "invite.changed" || event.invite !== made?.invite) return;
    if (event.state === "used") {
      put(body, h("p", { class: "big" }, `${event.name} joined.`), h("p", null, "Both screens must show the same words:"),
        h("p", { class: "code" }, event.compare), h("p", null, "Other words: somebody stood between you. Evict it here, and pair anew."),
        h("p", null, "It may do nothing here yet: that is Trust, on its line."));
    } else put(body, h("p", { class: "bad" }, event.state === "burnt" ? "A wrong code was tried: this one is burnt. Make a new one." : "The code is over. Make a new one."));
  };
  model.addEventListener("event", heard);
  box.addEventListener("close", () => { model.removeEventListener("event", heard); box.remove(); });
  document.body.append(box);
  box.showModal();
  try {
    made = await post("invites", { code: true, qr: true });
    put(body,
      h("p", null, "On the other machine:"),
      h("pre", { tabindex: "0" }, `relay join ${made.code} ${made.address}`),
      h("p", { class: "code" }, made.code),
      made.addresses.length > 1 && h("p", null, "This machine is also at ", made.addresses.filter((each) => each !== made.address).join(", ")),
      made.qr && h("img", { src: made.qr, alt: "The command as a QR code", class: "qr" }),
      h("p", null, `Works once, until ${clock(made.expires)}. One wrong guess burns it.`));
  } catch (error) {
    put(body, h("p", { class: "bad" }, error.words || String(error)));
  }
}
