// Times in the reader's zone, with UTC on hover; ages grow while the page is open.
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const MOMENT = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

// The server's clock less this machine's, so that ages do not depend on the reader's clock.
let ahead = 0;

export function setServerTime(iso) {
  ahead = Date.parse(iso) - Date.now();
}

export function span(seconds) {
  const s = Math.max(Math.floor(seconds), 0);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export function clock(date) {
  return date.toLocaleTimeString("en-GB", CLOCK);
}

// A day of this year, by the server's clock, has no year.
function moment(date) {
  const isThisYear = date.getFullYear() === new Date(Date.now() + ahead).getFullYear();
  return date.toLocaleString("en-GB", isThisYear ? MOMENT : { ...MOMENT, year: "numeric" });
}

function show(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const utc = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const local = at.toLocaleString("en-GB", { ...MOMENT, year: "numeric", second: "2-digit" });
  element.title = element.dataset.show === "age" ? `${local} (${utc})` : utc;
  if (element.dataset.show === "clock") element.textContent = clock(at);
  else if (element.dataset.show === "moment") element.textContent = moment(at);
  else if (element.dataset.show === "age") element.textContent = span((Date.now() + ahead - at) / 1000);
}

export function showTimes(within) {
  for (const element of within.querySelectorAll("time[data-show]")) show(element);
}

const asOf = document.querySelector("#as-of time");
if (asOf) setServerTime(asOf.dateTime);
setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-show=age]")) show(element);
}, 10_000);
