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
  // A choice that is an action of its own needs no button.
  if (box.matches("[data-submit]")) box.form.requestSubmit();
  if (box.matches("[data-all]")) {
    for (const other of box.form.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  }
  if (box.type === "checkbox" && box.form) count(box.form);
});

// After a page was put in the place of another, readers begin where its content begins.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target === document.body) {
    const bad = document.querySelector('[aria-invalid="true"]');
    (bad || document.getElementById("main"))?.focus({ preventScroll: !bad });
  }
});
