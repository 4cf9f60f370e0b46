// Progressive enhancement: every page works without JavaScript.
"use strict";

// Updates the number of selected rows and the "select all" checkbox.
function updateSelection(form) {
  const boxes = [...form.querySelectorAll('input[type="checkbox"][name="id"]')];
  const selected = boxes.filter((box) => box.checked).length;
  const label = form.querySelector("[data-selected]");
  if (label) label.textContent = selected ? `${label.dataset.selected}: ${selected}` : "";
  const all = form.querySelector("[data-all]");
  if (all) {
    all.checked = selected > 0 && selected === boxes.length;
    all.indeterminate = selected > 0 && selected < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-all]")) {
    for (const other of box.form.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  }
  if (box.type === "checkbox" && box.form) updateSelection(box.form);
});

// Shows the controls that need JavaScript, and closes unused filters on phones.
function enhance() {
  for (const hidden of document.querySelectorAll(".select-all[hidden]")) hidden.hidden = false;
  if (matchMedia("(max-width: 48rem)").matches) {
    for (const filters of document.querySelectorAll(".filter details:not([data-used], [data-shown])")) {
      filters.open = false;
      filters.dataset.shown = "";
    }
  }
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
