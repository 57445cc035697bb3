"use strict";
// Sort a table by the clicked column: numbers by data-sort, everything else by its text.
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const compare = (a, b) => {
      const [x, y] = [a.cells[column], b.cells[column]];
      if ("sort" in x.dataset && "sort" in y.dataset) return x.dataset.sort - y.dataset.sort;
      return x.textContent.localeCompare(y.textContent, "en", { numeric: true });
    };
    const body = head.closest("table").tBodies[0];
    const rows = Array.from(body.rows).sort(compare);
    if (order === "descending") rows.reverse();
    body.append(...rows);
  });
}
// Paper has no folding: open everything for printing, and put it back.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = Array.from(document.querySelectorAll("details:not([open])"));
  for (const details of folded) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
