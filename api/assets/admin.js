// Progressive enhancement: every page works without JavaScript.
"use strict";

// Updates the bulk bar and the "select all" checkbox, and disables actions without effect on the selected accounts.
function updateSelection(form) {
  const boxes = [...form.querySelectorAll('input[type="checkbox"][name="id"]')];
  const selected = boxes.filter((box) => box.checked);
  const label = form.querySelector("[data-selected]");
  if (label) label.textContent = selected.length ? label.dataset.selected.replace("{n}", selected.length) : "";
  for (const button of form.querySelectorAll("[data-effect]")) {
    const statuses = button.dataset.effect.split(" ");
    button.disabled = selected.length > 0 && !selected.some((box) => statuses.includes(box.dataset.account));
  }
  const all = form.querySelector("[data-all]");
  if (all) {
    all.checked = selected.length > 0 && selected.length === boxes.length;
    all.indeterminate = selected.length > 0 && selected.length < boxes.length;
  }
}

// The last clicked checkbox of the list. A click with the shift key selects all rows in between.
let lastBox = null;

document.addEventListener("click", (event) => {
  const box = event.target;
  if (box.matches?.('input[type="checkbox"][name="id"]')) {
    const boxes = [...box.form.querySelectorAll('input[type="checkbox"][name="id"]')];
    const [from, to] = [boxes.indexOf(lastBox), boxes.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) {
      for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
      updateSelection(box.form);
    }
    lastBox = box;
  }
  const clear = box.closest?.("[data-clear]");
  if (clear) {
    for (const other of clear.form.querySelectorAll('input[name="id"]')) other.checked = false;
    updateSelection(clear.form);
    clear.form.querySelector('input[name="id"]').focus();
  }
  // A tab keeps what the filter form contains now.
  const tab = box.closest?.("a[data-status]");
  if (tab && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    for (const other of tab.closest("ul").querySelectorAll("a[data-status]")) {
      other.classList.toggle("active", other === tab);
      if (other === tab) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    const filter = document.getElementById("filter");
    filter.elements.status.value = tab.dataset.status;
    filter.requestSubmit();
  }
  for (const drawer of document.querySelectorAll("details.drawer[open]")) {
    if (!drawer.contains(event.target)) drawer.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const drawer of document.querySelectorAll("details.drawer[open]")) {
    drawer.open = false;
    drawer.querySelector("summary").focus();
  }
  const menu = document.getElementById("menu");
  if (menu) menu.checked = false;
});

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    for (const other of box.form.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  }
  if (box.type === "checkbox" && box.form) updateSelection(box.form);
  // Only the list is loaded again, so the number of filters in use is counted here.
  const count = box.form?.querySelector("[data-filter-count]");
  if (count) {
    const used = [...box.form.querySelectorAll("select")].filter((it) => it.name !== "sort" && it.value).length;
    count.textContent = used;
    count.hidden = used === 0;
  }
});

// Marks a form with changes, and asks before a page with such a form is left.
document.addEventListener("input", (event) => {
  event.target.form?.matches("[data-unsaved]") && event.target.form.setAttribute("data-changed", "");
});
const unsaved = () => document.querySelector("form[data-unsaved][data-changed]");
addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-unsaved]")) event.target.removeAttribute("data-changed");
});
// The changes of a form whose request failed are still unsaved.
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => event.target.matches?.("[data-unsaved]") && event.target.setAttribute("data-changed", ""));
}
document.addEventListener("htmx:beforeRequest", (event) => {
  const form = unsaved();
  if (form && event.target !== form && !confirm(form.dataset.unsaved)) event.preventDefault();
});

// Skips a delayed search whose text a filter or the Enter key has already sent: it would replace the list and clear the selection.
let sentQuery = "";
document.addEventListener("htmx:beforeRequest", (event) => {
  const filter = event.target.closest?.("#filter");
  const query = filter ? new URLSearchParams(new FormData(filter)).toString() : "";
  if (event.target.id === "q" && query === sentQuery) event.preventDefault();
  sentQuery = query;
});

// Keeps filter, order and page of the list of users. The links of other pages that lead back to the list restore them.
function keepList() {
  if (document.getElementById("filter")) sessionStorage.setItem("users", location.search);
}
keepList();
document.addEventListener("htmx:afterSettle", keepList);
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, path } = event.detail;
  if (elt.closest(".breadcrumb") && path.endsWith("/admin/users/")) event.detail.path += sessionStorage.getItem("users") || "";
});

const twoDigits = (number) => String(number).padStart(2, "0");
const localDay = (at) => `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())}`;

// Returns a time relative to now, or null if it is more than a week away. In Western digits, as all numbers of the pages.
function relativeTime(at) {
  const seconds = (at - Date.now()) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) || units[3];
  if (Math.abs(seconds) > 7 * 86400) return null;
  const format = new Intl.RelativeTimeFormat(`${document.documentElement.lang}-u-nu-latn`, { numeric: "auto" });
  return format.format(Math.trunc(seconds / length), unit);
}

// Shows times in the browser's time zone, with the zone and UTC in a tooltip. Without JavaScript they are in UTC.
function localizeTimes() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    const [day, clock] = time.children;
    const utc = time.textContent;
    day.textContent = localDay(at);
    clock.textContent = `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}`;
    time.title = `${time.textContent} (${zone}) · ${utc} (UTC)`;
    const relative = "relative" in time.dataset && relativeTime(at);
    if (relative) {
      time.removeAttribute("dir");
      time.textContent = relative;
    }
  }
  for (const note of document.querySelectorAll("[data-local]")) note.textContent = note.dataset.local.replace("{zone}", zone);
}
localizeTimes();
document.addEventListener("htmx:afterSwap", localizeTimes);

// Shows a number of accounts only while no other filter is in use, because it counts all accounts.
function updateCounts() {
  const filter = document.getElementById("filter");
  if (!filter) return;
  const used = ["q", "status", "staff", "gender", "joined"].filter((name) => filter.elements[name].value.trim());
  const isShown = (name) => used.every((other) => other === name);
  for (const badge of document.querySelectorAll("[data-status] .badge")) badge.hidden = !isShown("status");
  for (const option of filter.querySelectorAll("option[data-count]")) {
    const { label, count } = option.dataset;
    option.textContent = isShown(option.closest("select").name) ? `${label} (${count})` : label;
  }
}

// Copies a text that is shown once. Browsers allow it over HTTPS and on the own machine only.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  document.getElementById("flash").textContent = button.dataset.copied;
  button.textContent = button.dataset.copied;
});

// Shows the controls that need JavaScript.
function enhance() {
  updateCounts();
  for (const hidden of document.querySelectorAll(".select-all[hidden], [data-clear][hidden]")) hidden.hidden = false;
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
  for (const form of document.querySelectorAll("form:has([data-all])")) updateSelection(form);
}
document.addEventListener("DOMContentLoaded", enhance);

// Moves the focus to the content or the first invalid field after htmx has replaced the page.
document.addEventListener("htmx:afterSettle", (event) => {
  enhance();
  // Announces the number of results to screen readers.
  const count = event.target.id === "results" && event.target.querySelector("[data-result-count]");
  if (count) document.getElementById("flash").textContent = count.textContent;
  if (event.target === document.body) {
    const invalid = document.querySelector('[aria-invalid="true"]');
    (invalid || document.getElementById("main"))?.focus({ preventScroll: !invalid });
  }
});
