// What every page does: the theme switch, times in the reader's zone, keys, and menus that close.
import { showTimes } from "./times.js";
import { listenToKeys } from "./keys.js";
import "./live.js";

const root = document.documentElement;
const button = document.getElementById("theme");

function remember(name, value) {
  try { value === null ? localStorage.removeItem(name) : localStorage.setItem(name, value); } catch { /* storage is switched off */ }
}

function nameTheme() {
  const chosen = root.dataset.theme;
  button.textContent = chosen === "dark" ? "☾" : chosen === "light" ? "☀" : "◐";
  button.setAttribute("aria-label", `Theme: ${chosen ?? "as the system"}. Change`);
}

button.addEventListener("click", () => {
  const next = { undefined: "dark", dark: "light", light: undefined }[root.dataset.theme];
  if (next) root.dataset.theme = next; else delete root.dataset.theme;
  remember("theme", next ?? null);
  nameTheme();
  document.dispatchEvent(new Event("theme"));
});
nameTheme();
button.hidden = false;

// A menu closes when another opens, on Escape, and on a click beside it.
function closeMenus(but) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(but)) menu.open = false;
}
document.addEventListener("click", (event) => closeMenus(event.target));
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});

// Details with data-load show the table of another page when they are opened; without a script they link to it.
document.addEventListener("toggle", async (event) => {
  const details = event.target;
  if (!details.open || !details.dataset?.load) return;
  const place = details.querySelector("a")?.parentElement;
  if (!place || place.querySelector("table")) return;
  const reply = await fetch(details.dataset.load, { headers: { Accept: "text/html" } });
  if (!reply.ok) return;
  const table = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("main table");
  if (table) place.replaceChildren(table);
}, true);

showTimes(document);
listenToKeys();
