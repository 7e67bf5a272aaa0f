// A word outside of the page when work ends or needs somebody, where that was allowed and nobody looks.

import { h, seen } from "./dom.js";
import { url } from "./route.js";
import { isEnded, needsPerson, stateWord } from "./words.js";

const KEY = "relay.notify";
const isOn = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";

/** The button that turns it on and off; nothing where the browser has no such thing. */
export function notifyButton() {
  if (!("Notification" in window)) return null;
  const button = h("button", {
    class: "plain", type: "button",
    async onclick() {
      if (isOn()) localStorage.setItem(KEY, "off");
      else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEY, "on");
      draw();
    },
  }, h("i", { "aria-hidden": "true" }));
  function draw() {
    button.firstChild.textContent = isOn() ? "◉" : "◌";
    button.setAttribute("aria-label", isOn() ? "Notifications are on" : "Notifications are off");
    button.setAttribute("aria-pressed", String(isOn()));
    button.title = button.getAttribute("aria-label");
  }
  draw();
  return button;
}

/** Tell of an event where it ends a spawn or asks for somebody. */
export async function notify(event, model) {
  if (event.kind !== "spawn.state" || !(isEnded(event.state) || needsPerson(event.state))) return;
  if (!isOn() || document.visibilityState === "visible") return;
  const spawn = model.spawns.get(event.spawn);
  const title = seen(`${spawn?.name || event.spawn}: ${stateWord(event.state)}`);
  const body = seen([spawn && `on ${spawn.broker.name}`, event.reason].filter(Boolean).join(" — "));
  const options = { body, tag: event.spawn, icon: "/static/icon.svg", data: `/${url({ section: "agents", spawn: event.spawn })}` };
  const worker = await navigator.serviceWorker?.getRegistration();
  if (worker) worker.showNotification(title, options);
  else new Notification(title, options);
}
