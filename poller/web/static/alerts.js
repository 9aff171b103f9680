// The editor of a rule: shows the unit of the metric, hides the threshold of conditions, and keeps the preview fresh.
// Without it the button Preview does the same.
const form = document.getElementById("rule-form");
const preview = document.getElementById("preview");
const WAIT_MS = 400;
let timer = null;
let latest = 0;

function showUnit() {
  const unit = form.elements.metric.selectedOptions[0]?.dataset.unit ?? "";
  document.getElementById("unit").textContent = unit;
  form.querySelector(".threshold").hidden = unit === "";
}

// The addresses are secrets, of which a preview needs none.
function fields() {
  const found = new URLSearchParams(new FormData(form));
  found.delete("urls");
  found.set("to", "default");
  return found;
}

async function refresh() {
  const mine = ++latest;
  preview.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(form.action, { method: "POST", body: fields(), headers: { Accept: "text/html", "X-Preview": "1" } });
    const html = await reply.text();
    if (mine === latest && reply.ok) preview.innerHTML = html;
  } catch { /* the button Preview says what is wrong */ } finally {
    if (mine === latest) preview.removeAttribute("aria-busy");
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, WAIT_MS);
}

form.addEventListener("input", (event) => {
  if (event.target.name === "metric") showUnit();
  if (event.target.name === "urls") form.querySelector("[name=to][value=replace]").checked = true;
  else soon();
});
form.addEventListener("submit", (event) => {
  if (event.submitter?.value !== "preview") return;
  event.preventDefault();
  refresh();
});
showUnit();
refresh();
