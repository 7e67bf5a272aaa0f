// Elements from code. Text is always text: nothing here can become markup, and nothing in it is unseen.

const SVG = "http://www.w3.org/2000/svg";
const UNSEEN = /[\p{Cf}\x00-\x08\x0b-\x1f\x7f-\x9f]/gu;
const MOST_TOASTS = 4;
const WORDED = new Set(["aria-label", "title", "placeholder", "alt"]);

/** A text with what would be invisible, or turn round what stands beside it, as its code. */
export const seen = (text) => text.replace(UNSEEN, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "vars") for (const [name, is] of Object.entries(value)) node.style.setProperty(name, is);
    else if (key === "value" || key === "checked" || key === "disabled" || key === "selected") node[key] = value;
    else node.setAttribute(key, value === true ? "" : WORDED.has(key) ? seen(String(value)) : String(value));
  }
  append(node, children);
  return node;
}

/** Add children: nodes as they are, texts as they can be seen, lists of them; what is null or false is left out. */
export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : seen(String(child)));
  }
}

/** An HTML element. `onX` is a listener, `vars` are CSS variables, the rest are attributes. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same in SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Replace what is in a node. */
export function put(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** The same with what is drawn anew as it was: who stood on a button by keys stands on it again. */
export function redraw(node, ...children) {
  const held = node.contains(document.activeElement) ? document.activeElement : null;
  put(node, ...children);
  if (!held || node.contains(document.activeElement)) return node;
  const called = (each) => each.getAttribute("aria-label") || each.textContent;
  const same = [...node.querySelectorAll(held.tagName)].find((each) => each === held || called(each) === called(held));
  same?.focus({ preventScroll: true });
  return node;
}

/** Set a text only if it is another one, so that nothing flickers and a selection stays. */
export function say(node, words) {
  const text = seen(words);
  if (node.textContent !== text) node.textContent = text;
}

/** Whether somebody is typing. */
export function isTyping() {
  const at = document.activeElement;
  return !!at && (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName));
}

/** A dialog that asks; resolves with what `read` says, or null where it is left. */
export function dialog(title, body, { yes = "OK", tone = "", read = () => true, wide = false } = {}) {
  return new Promise((resolve) => {
    const go = h("button", { class: `primary ${tone}`, type: "submit" }, yes);
    const form = h(
      "form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, title), body,
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => box.close() }, "Cancel"), yes && go),
    );
    const box = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : "" }, form);
    let answer = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = read();
      if (answer !== undefined) box.close();
    });
    box.addEventListener("close", () => { box.remove(); resolve(answer); });
    document.body.append(box);
    box.showModal();
  });
}

/** A word at the edge of the page, which goes away by itself unless it is an error. */
export function toast(text, isError = false) {
  const close = h("button", { class: "plain", "aria-label": "Dismiss", onclick: () => note.remove() }, "×");
  const note = h("div", { class: isError ? "toast bad" : "toast" }, h("span", null, text), close);
  const all = document.getElementById("toasts");
  all.append(note);
  if (all.childElementCount > MOST_TOASTS) all.firstElementChild.remove();
  if (!isError) setTimeout(() => note.remove(), 6000);
}

/** A labelled field. */
export function field(label, control, hint) {
  return h("label", { class: "field" }, h("span", null, label), control, hint && h("small", null, hint));
}
