// The page's shell, for when the broker does not answer: what is shown then says that it is old. No data is kept.
// And what is told of by Web Push: one line of it, with where it leads.
const SHELL = "relay-shell";

self.addEventListener("install", (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  const ours = origin === self.location.origin && (pathname === "/" || pathname.startsWith("/static/"));
  if (event.request.method === "GET" && ours) event.respondWith(freshOrKept(event.request));
});

async function freshOrKept(request) {
  const kept = await caches.open(SHELL);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) await kept.put(request, fresh.clone());
    return fresh;
  } catch (error) {
    const found = await kept.match(request);
    if (found) return found;
    throw error;
  }
}

self.addEventListener("push", (event) => event.waitUntil(tell(event.data)));

async function tell(data) {
  let told = {};
  try {
    told = data.json();
  } catch { /* it was ours to read and is not: that something happened is said all the same */ }
  const { title, body, event, spawn } = told || {};
  const isSpawn = typeof spawn === "string" && /^[a-z0-9]{4,32}$/.test(spawn);
  const line = typeof title === "string" && title ? title : "Something happened on one of your machines";
  // what is told again of the same event stands in the place of the first
  await self.registration.showNotification(line, {
    body: typeof body === "string" ? body : "", tag: isSpawn ? spawn : String(event || "relay"), icon: "/static/icon.svg",
    data: isSpawn ? `/#/agents?spawn=${spawn}` : "/",
  });
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data || "/"));
});

async function show(url) {
  const pages = await self.clients.matchAll({ type: "window" });
  const page = pages.find((each) => new URL(each.url).origin === self.location.origin);
  if (!page) return self.clients.openWindow(url);
  await page.focus();
  return page.navigate(url);
}
