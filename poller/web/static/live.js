// Keeps parts of a page fresh. An element with data-refresh="URL" is asked for again every 5 seconds, or every
// data-refresh-seconds, while the page is visible. 204 and 304 say that nothing changed; 200 is the element's new
// content. Where the element holds [data-row] elements with a digest, only those that changed are asked for (a row's
// number is the end of its link's address), and each is replaced where it stands: no row moves under the reader.
// Errors make it ask less often, and the page says since when it has not been updated.
import { clock, setServerTime, showTimes } from "./times.js";

const SECONDS = 5;
const LONGEST_SECONDS = 60;
const PATIENCE_MS = 10_000;
const MARKED_MS = 4_000;
const asOf = document.getElementById("as-of");
const failing = new Set();
let updatedAt = new Date(asOf?.querySelector("time")?.dateTime ?? Date.now());

function showState() {
  if (!asOf) return;
  asOf.classList.toggle("stale", failing.size > 0);
  asOf.classList.toggle("live", failing.size === 0);
  asOf.classList.remove("paused");
  asOf.querySelector("span").textContent = failing.size > 0 ? "not updated since " : "as of ";
}

// The number of firing alerts in the navigation.
function showFiring(number) {
  const mark = document.getElementById("firing");
  if (!mark || number === null) return;
  mark.hidden = number === "0";
  mark.firstElementChild.textContent = Number(number).toLocaleString("en-US");
}

function updated(reply) {
  const at = reply.headers.get("X-As-Of") ?? reply.headers.get("Date");
  updatedAt = at ? new Date(at) : new Date();
  setServerTime(updatedAt.toISOString());
  showFiring(reply.headers.get("X-Firing"));
  const time = asOf?.querySelector("time");
  if (time) {
    time.dateTime = updatedAt.toISOString();
    time.textContent = clock(updatedAt);
  }
}

function mark(element) {
  element.classList.add("changed");
  setTimeout(() => element.classList.remove("changed"), MARKED_MS);
}

// Keeps the keyboard's place and open menus when content is replaced.
function replaceContent(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...element.querySelectorAll("a, button, summary, input")].indexOf(focused);
  const open = [...element.querySelectorAll("details")].map((one) => one.open);
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((one, number) => { one.open = open[number] ?? one.open; });
  if (focused) element.querySelectorAll("a, button, summary, input")[place]?.focus({ preventScroll: true });
  showTimes(element);
}

// The address as it is written: links in a template have no base address.
const numberOf = (row) => row.querySelector("a").getAttribute("href").split("/").pop();

function replaceRows(element, html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const shown = new Map([...element.querySelectorAll("[data-digest]")].map((row) => [numberOf(row), row]));
  for (const row of holder.content.querySelectorAll("[data-digest]")) {
    const old = shown.get(numberOf(row));
    if (!old) continue;
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(row);
    if (hadFocus) row.querySelector("a")?.focus({ preventScroll: true });
    showTimes(row);
    mark(row);
  }
}

function addressOf(element) {
  const rows = [...element.querySelectorAll("[data-digest]")];
  if (!rows.length) return element.dataset.refresh;
  const shown = rows.map((row) => `${numberOf(row)}.${row.dataset.digest}`).join("-");
  return `${element.dataset.refresh}${element.dataset.refresh.includes("?") ? "&" : "?"}shown=${shown}`;
}

class Refresher {
  constructor(element) {
    this.element = element;
    this.seconds = Number(element.dataset.refreshSeconds) || SECONDS;
    this.wait = this.seconds;
    this.tag = null;
    this.last = null;
    this.timer = null;
    this.busy = false;
    this.schedule();
  }

  schedule() {
    clearTimeout(this.timer);
    if (!document.hidden) this.timer = setTimeout(() => this.refresh(), this.wait * 1000);
  }

  async refresh() {
    if (this.busy || !this.element.isConnected) return;
    this.busy = true;
    try {
      const headers = { Accept: "text/html", "X-Refresh": "1" };
      if (this.tag) headers["If-None-Match"] = this.tag;
      const reply = await fetch(addressOf(this.element), { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (reply.status === 401 || (reply.redirected && new URL(reply.url).pathname === "/login")) {
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        return;
      }
      await this.apply(reply);
      failing.delete(this);
      this.wait = this.seconds;
      updated(reply);
    } catch {
      failing.add(this);
      this.wait = Math.min(Math.max(this.wait, SECONDS) * 2, LONGEST_SECONDS);
    } finally {
      this.busy = false;
      showState();
      this.schedule();
    }
  }

  async apply(reply) {
    if (reply.status === 204 || reply.status === 304) return;
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    const html = await reply.text();
    this.tag = reply.headers.get("ETag");
    if (html === this.last) return;
    this.last = html;
    if (this.element.querySelector("[data-digest]")) replaceRows(this.element, html);
    else replaceContent(this.element, html);
  }
}

const refreshers = [...document.querySelectorAll("[data-refresh]")].map((element) => new Refresher(element));
if (refreshers.length) {
  showState();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      asOf?.classList.remove("live");
      asOf?.classList.add("paused");
      refreshers.forEach((one) => clearTimeout(one.timer));
    } else {
      refreshers.forEach((one) => { one.wait = one.seconds; one.refresh(); });
    }
  });
}
