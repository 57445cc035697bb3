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
// A box over every long table that keeps the rows which hold all of its words.
{
  const LONG = 12;
  for (const region of document.querySelectorAll(".scroll:has(> table.sortable)")) {
    const rows = Array.from(region.querySelector("tbody").rows);
    if (rows.length <= LONG) continue;
    const box = document.createElement("div");
    box.className = "find";
    const input = Object.assign(document.createElement("input"), { type: "search", placeholder: "Find rows", autocomplete: "off" });
    input.setAttribute("aria-label", `Find rows: ${region.getAttribute("aria-label")}`);
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    box.append(input, count);
    region.before(box);
    const texts = new Map();
    input.addEventListener("input", () => {
      if (!texts.size) for (const row of rows) texts.set(row, row.textContent.toLowerCase());
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const row of rows) {
        row.hidden = !words.every((word) => texts.get(row).includes(word));
        n += !row.hidden;
      }
      count.textContent = words.length ? `${n} of ${rows.length} rows` : "";
    });
  }
}
