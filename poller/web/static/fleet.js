// The Fleet page: views and columns that this browser remembers, and the address on the clipboard.
const stored = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(name)) ?? otherwise; } catch { return otherwise; }
};
const store = (name, value) => {
  try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* storage is switched off */ }
};
const address = new URL(location.href);

// Columns chosen last time apply where the address names none.
const columns = stored("fleet-columns", []);
if (!address.searchParams.has("column") && columns.length) {
  const remembered = new URL(address);
  columns.forEach((name) => remembered.searchParams.append("column", name));
  location.replace(remembered);
}
document.querySelector("#columns form")?.addEventListener("submit", (event) => {
  store("fleet-columns", new FormData(event.target).getAll("column"));
});

// Saved views are addresses with a name.
const views = document.querySelector("#views > div");
function showViews() {
  if (!views) return;
  views.querySelector(".views-saved")?.remove();
  const list = document.createElement("ul");
  list.className = "views-saved";
  for (const [name, path] of Object.entries(stored("fleet-views", {}))) {
    const row = list.appendChild(document.createElement("li"));
    const link = row.appendChild(document.createElement("a"));
    link.href = path;
    link.textContent = name;
    const remove = row.appendChild(document.createElement("button"));
    remove.type = "button";
    remove.textContent = "✕";
    remove.setAttribute("aria-label", `Delete the view ${name}`);
    remove.addEventListener("click", (event) => {
      event.stopPropagation();
      const { [name]: _, ...rest } = stored("fleet-views", {});
      store("fleet-views", rest);
      showViews();
    });
  }
  if (list.children.length) views.querySelector("ul").after(list);
}
if (views) {
  const form = views.appendChild(document.createElement("form"));
  form.className = "views-save";
  form.innerHTML = '<input required maxlength="60" placeholder="Name this view" aria-label="Name of the view"><button>Save</button>';
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const input = form.querySelector("input");
    const kept = new URL(location.href);
    for (const name of ["after", "before", "start"]) kept.searchParams.delete(name);
    store("fleet-views", { ...stored("fleet-views", {}), [input.value.trim()]: kept.pathname + kept.search });
    input.value = "";
    showViews();
  });
  showViews();
}

const copy = document.getElementById("copy");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy address"; }, 2000);
  });
}

// On a phone the table is laid out as cards, which would take its roles away from screen readers.
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };
function giveRoles(table) {
  for (const part of [table, ...table.querySelectorAll("thead, tbody, tr, td")]) part.setAttribute("role", ROLES[part.tagName]);
  for (const head of table.querySelectorAll("th")) head.setAttribute("role", head.scope === "col" ? "columnheader" : "rowheader");
}
const table = document.querySelector("table.fleet");
if (table) {
  giveRoles(table);
  new MutationObserver(() => giveRoles(table)).observe(table, { childList: true });
}
