// The Org page: the chart, and ranges, types and zoom without a full reload. Every one of them is an ordinary link.
import { drawChart } from "./chart.js";
import { showTimes } from "./times.js";

const PARTS = ["chart-panel", "range-facts"];
const SHORTEST_SECONDS = 3600;
const CHART_REFRESH_MS = 60_000;
let remove = () => {};
let loading = null;
let drawnAt = Date.now();
const place = () => location.pathname + location.search;
let shown = place();

function mount() {
  remove();
  drawnAt = Date.now();
  const figure = document.getElementById("chart");
  remove = drawChart(figure, { onZoom: zoom, onZoomOut: zoomOut });
  // Hundreds of times are written in the reader's zone only when they are looked at.
  document.getElementById("figures").addEventListener("toggle", (event) => {
    for (const time of event.target.querySelectorAll("time:not([data-show])")) time.dataset.show = "moment";
    showTimes(event.target);
  }, { once: true });
}

// `quiet`: a refresh that nobody asked for; if it fails, the page stays as it is, and live.js says since when.
async function swap(address, { push = true, zoomed = false, quiet = false } = {}) {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const panel = document.getElementById("chart-panel");
  panel.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(address, { headers: { Accept: "text/html" }, signal });
    if (!reply.ok || reply.redirected) throw new Error(`status ${reply.status}`);
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const focused = focusKey(document.activeElement);
    const isOpen = document.getElementById("figures").open;
    if (push) history.pushState({ zoomed }, "", address);
    shown = place();
    for (const id of PARTS) document.getElementById(id).replaceWith(page.getElementById(id));
    for (const id of PARTS) showTimes(document.getElementById(id));
    mount();
    document.getElementById("figures").open = isOpen;
    if (focused) document.querySelector(focused)?.focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError" && !quiet) location.assign(address);
    panel.removeAttribute("aria-busy");
  }
}

// Where the keyboard was, so that it stays there: the chart, or the link with the same words.
function focusKey(element) {
  if (!element?.closest("#chart-panel")) return null;
  return element.dataset.key ? `[data-key="${CSS.escape(element.dataset.key)}"]` : element.id ? `#${element.id}` : null;
}

function zoom(from, to) {
  if (to - from < SHORTEST_SECONDS) from = to - SHORTEST_SECONDS;
  const address = new URL(location.href);
  for (const name of ["from", "to", "every", "done"]) address.searchParams.delete(name);
  const iso = (at) => new Date(at * 1000).toISOString().slice(0, 16) + "Z";
  address.searchParams.set("since", iso(from));
  address.searchParams.set("until", iso(to));
  swap(address.href, { zoomed: true });
}

function zoomOut() {
  if (history.state?.zoomed) return history.back();
  const address = new URL(location.href);
  if (!address.searchParams.has("until") && !address.searchParams.has("to")) return;
  for (const name of ["since", "until", "from", "to"]) address.searchParams.delete(name);
  swap(address.href);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#chart-panel a[href]");
  if (!link || link.hasAttribute("download") || link.closest(".files") || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  swap(link.href);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".own-range")) return;
  event.preventDefault();
  const address = new URL(event.target.action);
  for (const [name, value] of new FormData(event.target)) if (value) address.searchParams.append(name, value);
  swap(address.href);
});
addEventListener("popstate", () => {
  if (place() !== shown) swap(location.href, { push: false });
});

// The notice of an operation was shown: the address is that of the page again.
if (new URL(location.href).searchParams.has("done")) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  history.replaceState(history.state, "", address);
  shown = place();
}

// New counts came while the page is open: draw the chart again, at most once a minute, and not under the cursor.
new MutationObserver(() => {
  const at = document.querySelector(".org-now")?.dataset.countsAt;
  const figure = document.getElementById("chart");
  if (!at || at === figure.dataset.countsAt || Date.now() - drawnAt < CHART_REFRESH_MS || figure.matches(":hover, :focus-within")) return;
  if (!new URL(location.href).searchParams.has("until")) swap(location.href, { push: false, quiet: true });
}).observe(document.getElementById("now"), { childList: true, subtree: true });

mount();
