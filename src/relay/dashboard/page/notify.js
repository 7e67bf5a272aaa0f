// A word outside of the page when work ends or needs somebody: on this device by Web Push, or while the page is open.

import { h, seen, toast } from "./dom.js";
import { url } from "./route.js";
import { isEnded, needsPerson, stateWord } from "./words.js";

const KEY = "relay.notify";
const OPEN = "on", ALWAYS = "push";
const has = () => "Notification" in window;
const set = () => (has() && Notification.permission === "granted" ? localStorage.getItem(KEY) : null);
const isOn = () => set() === OPEN || set() === ALWAYS;
const WORDS = { [ALWAYS]: "Notifications are on, also when this page is closed", [OPEN]: "Notifications are on while this page is open" };

/** The button that turns it on and off; nothing where the browser has no such thing. */
export function notifyButton() {
  if (!has()) return null;
  const button = h("button", {
    class: "plain", type: "button",
    async onclick() {
      button.disabled = true;
      try {
        await (isOn() ? turnOff() : turnOn());
      } finally {
        button.disabled = false;
        draw();
      }
    },
  }, h("i", { "aria-hidden": "true" }));
  function draw() {
    button.firstChild.textContent = isOn() ? "◉" : "◌";
    button.setAttribute("aria-label", WORDS[set()] || "Notifications are off");
    button.setAttribute("aria-pressed", String(isOn()));
    button.title = button.getAttribute("aria-label");
  }
  draw();
  // not in the way of the first rows
  const isAlways = () => set() === ALWAYS;
  if (isAlways()) setTimeout(() => import("./push.js").then(({ keep }) => keep(isAlways)).catch(() => {}), 3000);
  return button;
}

async function turnOn() {
  if ((await Notification.requestPermission()) !== "granted") return void toast("This browser does not allow this page to notify", true);
  const { canPush, turnOn: push } = await import("./push.js");
  localStorage.setItem(KEY, OPEN);
  if (!canPush()) return void toast(WORDS[OPEN]);
  try {
    await push();
    localStorage.setItem(KEY, ALWAYS);
    toast(WORDS[ALWAYS]);
  } catch (error) {
    toast(`${WORDS[OPEN]}, and not when it is closed: ${error.words || error.message || error}`, true);
  }
}

/** This browser is no device any more: it takes no more. */
export function forgetPush() {
  if (set() === ALWAYS) import("./push.js").then(({ forget }) => forget()).catch(() => {});
  if (has()) localStorage.removeItem(KEY);
}

async function turnOff() {
  const was = set();
  localStorage.setItem(KEY, "off");
  if (was === ALWAYS) await (await import("./push.js")).turnOff();
}

/** Tell of an event where it ends a spawn or asks for somebody; where it is pushed, the worker does. */
export async function notify(event, model) {
  if (event.kind !== "spawn.state" || !(isEnded(event.state) || needsPerson(event.state))) return;
  if (set() !== OPEN || document.visibilityState === "visible") return;
  const spawn = model.spawns.get(event.spawn);
  const title = seen(`${spawn?.name || event.spawn}: ${stateWord(event.state)}`);
  const body = seen([spawn && `on ${spawn.broker.name}`, event.reason].filter(Boolean).join(" — "));
  const options = { body, tag: event.spawn, icon: "/static/icon.svg", data: `/${url({ section: "agents", spawn: event.spawn })}` };
  const worker = await navigator.serviceWorker?.getRegistration();
  if (worker) worker.showNotification(title, options);
  else new Notification(title, options);
}
