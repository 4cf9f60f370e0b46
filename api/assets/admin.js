// What the pages do better with JavaScript. All of it works without.
"use strict";

// "All on this page", and how many are chosen.
function count(form) {
  const boxes = [...form.querySelectorAll('input[type="checkbox"][name="id"]')];
  const chosen = boxes.filter((box) => box.checked).length;
  const label = form.querySelector("[data-chosen]");
  if (label) label.textContent = chosen ? `${label.dataset.chosen}: ${chosen}` : "";
  const all = form.querySelector("[data-all]");
  if (all) {
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    for (const other of box.form.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  }
  if (box.type === "checkbox" && box.form) count(box.form);
});

// What needs JavaScript is shown by it, and on a phone filters that nobody uses take no room.
function show() {
  for (const hidden of document.querySelectorAll(".all[hidden]")) hidden.hidden = false;
  if (matchMedia("(max-width: 48rem)").matches) {
    for (const filters of document.querySelectorAll(".filter details:not([data-used], [data-shown])")) {
      filters.open = false;
      filters.dataset.shown = "";
    }
  }
  for (const form of document.querySelectorAll("form:has([data-all])")) count(form);
}
document.addEventListener("DOMContentLoaded", show);

// After a page was put in the place of another, readers begin where its content begins.
document.addEventListener("htmx:afterSettle", (event) => {
  show();
  // Screen readers hear how many were found.
  const found = event.target.id === "results" && event.target.querySelector("[data-found]");
  if (found) document.getElementById("said").textContent = found.textContent;
  if (event.target === document.body) {
    const bad = document.querySelector('[aria-invalid="true"]');
    (bad || document.getElementById("main"))?.focus({ preventScroll: !bad });
  }
});
