// With JavaScript, tables can be sorted and the board filtered.
"use strict";

document.documentElement.classList.add("js");

// ---- Sorting: headings become buttons.

const FIRST = { rank: "ascending", text: "ascending", number: "descending" };

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const kind = heading.dataset.sort;
    if (!kind) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const other = { ascending: "descending", descending: "ascending" };
      const order = before ? other[before] : FIRST[kind];
      headings.forEach((one) => one.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      sort(table.tBodies[0], column, kind, order);
    });
  });
}

function sort(body, column, kind, order) {
  const sign = order === "ascending" ? 1 : -1;
  const keyed = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.value }));
  keyed.sort((a, b) => {
    // Missing numbers are last in either order.
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
    const difference = kind === "text" ? a.value.localeCompare(b.value) : Number(a.value) - Number(b.value);
    return sign * difference;
  });
  body.append(...keyed.map(({ row }) => row));
}

// ---- Filter: rows must match suite, state and all words.

function filtered(form) {
  const sections = [...document.querySelectorAll("section[data-suite]")];
  const count = form.querySelector("[data-count]");
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.elements.state.value;
    let shown = 0;
    let all = 0;
    for (const section of sections) {
      const suite = form.elements.suite.value;
      section.hidden = suite !== "" && suite !== section.dataset.suite;
      let here = 0;
      for (const row of section.querySelectorAll("tbody tr[data-key]")) {
        const fits = (state === "" || row.dataset.state === state) && words.every((word) => row.dataset.text.includes(word));
        row.hidden = !fits;
        all += 1;
        if (fits) here += 1;
      }
      const none = section.querySelector("[data-none]");
      if (none) none.hidden = here > 0;
      if (!section.hidden) shown += here;
    }
    count.textContent = `${shown} of ${all} rows`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  apply();
}

document.querySelectorAll("table[data-board]").forEach(sortable);
document.querySelectorAll("form[data-filters]").forEach(filtered);
