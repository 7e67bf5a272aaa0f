// Word on this device when the page is closed: by Web Push, which the browser's maker carries and cannot read.

import { get, post } from "./api.js";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
const text = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Whether this browser has it at all. */
export const canPush = () => "PushManager" in window && "serviceWorker" in navigator;

const registration = () => navigator.serviceWorker.ready;

/** Have this device told. What comes of it: true; throws why not. */
export async function turnOn() {
  const { key } = await get("dashboard/push");
  const { pushManager } = await registration();
  const wanted = bytes(key);
  let found = await pushManager.getSubscription();
  // of another key, which this broker has no longer: nothing that it sends would be taken
  if (found && text(found.options.applicationServerKey || new ArrayBuffer(0)) !== key) {
    await found.unsubscribe();
    found = null;
  }
  found ||= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: wanted });
  await post("dashboard/push", { endpoint: found.endpoint, key: text(found.getKey("p256dh")), auth: text(found.getKey("auth")) });
  return true;
}

/** Have it told no more. */
export async function turnOff() {
  await post("dashboard/push/off");
  await forget();
}

/** This browser takes no more; the broker is not asked. */
export async function forget() {
  const found = await (await registration()).pushManager.getSubscription();
  await found?.unsubscribe();
}

/** Where it was told before, and the service or the browser has ended that: ask again, unless it is turned off meanwhile. */
export async function keep(isWanted) {
  const { on } = await get("dashboard/push");
  const found = await (await registration()).pushManager.getSubscription();
  if ((on && found) || !isWanted()) return;
  await turnOn();
  if (!isWanted()) await turnOff();
}
