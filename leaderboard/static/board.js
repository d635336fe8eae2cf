// What a page gains with JavaScript: tables that sort, a board that filters, charts that say their numbers.
"use strict";

document.documentElement.classList.add("js");

// ---- Tables: a heading becomes a button.

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
    // What has no number is last, in either order.
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
    const difference = kind === "text" ? a.value.localeCompare(b.value) : Number(a.value) - Number(b.value);
    return sign * difference;
  });
  body.append(...keyed.map(({ row }) => row));
}

// ---- The filter: a row is shown where it fits all of suite, state and words.

function filtered(form) {
  const sections = [...document.querySelectorAll("section[data-suite]")];
  const count = form.querySelector("[data-count]");
  const apply = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = Number(form.elements.state.value);
    let shown = 0;
    let all = 0;
    for (const section of sections) {
      const suite = form.elements.suite.value;
      section.hidden = suite !== "" && suite !== section.dataset.suite;
      let here = 0;
      const keys = new Set();
      for (const row of section.querySelectorAll("tbody tr[data-key]")) {
        const fits = Number(row.dataset.state) >= least && words.every((word) => row.dataset.text.includes(word));
        row.hidden = !fits;
        all += 1;
        if (fits) {
          here += 1;
          keys.add(row.dataset.key);
        }
      }
      const none = section.querySelector("[data-none]");
      if (none) none.hidden = here > 0;
      for (const one of section.querySelectorAll("[data-chart] [data-key]")) {
        one.toggleAttribute("hidden", !keys.has(one.dataset.key));
      }
      if (!section.hidden) shown += here;
    }
    count.textContent = `${shown} of ${all} submissions`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  apply();
}

// ---- Charts: the nearest number to the pointer, or the one that the arrow keys lead to.

function alive(chart) {
  const choose = (key) => {
    chart.classList.toggle("choosing", key !== null);
    for (const one of chart.querySelectorAll("[data-key]")) one.classList.toggle("chosen", one.dataset.key === key);
  };
  for (const item of chart.querySelectorAll(".legend [data-key]")) {
    const key = item.dataset.key;
    item.addEventListener("pointerenter", () => choose(key));
    item.addEventListener("pointerleave", () => choose(null));
    item.addEventListener("focusin", () => choose(key));
    item.addEventListener("focusout", () => choose(null));
  }
  for (const stage of chart.querySelectorAll("[data-stage]")) readable(stage, choose);
}

const REACH = 60;

function readable(stage, choose) {
  const svg = stage.querySelector("svg");
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  stage.append(tip);
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys read the numbers.`);

  let now = null;
  const dots = () => [...svg.querySelectorAll(".line:not([hidden]) circle")];
  const place = (dot) => [Number(dot.getAttribute("cx")), Number(dot.getAttribute("cy"))];

  const show = (dot) => {
    if (now) now.classList.remove("at");
    now = dot;
    tip.hidden = !dot;
    choose(dot ? dot.parentNode.dataset.key : null);
    if (!dot) return;
    dot.classList.add("at");
    tip.textContent = dot.dataset.tip;
    const scale = svg.clientWidth / svg.viewBox.baseVal.width;
    const [x, y] = place(dot).map((at) => at * scale);
    const left = Math.max(0, Math.min(x - tip.offsetWidth / 2, svg.clientWidth - tip.offsetWidth));
    const above = y - tip.offsetHeight - 12;
    tip.style.left = `${left}px`;
    tip.style.top = `${above >= 0 ? above : y + 12}px`;
  };

  const nearest = (x, y, among) => {
    let best = null;
    let distance = Infinity;
    for (const dot of among) {
      const [cx, cy] = place(dot);
      const d = Math.hypot(cx - x, cy - y);
      if (d < distance) [best, distance] = [dot, d];
    }
    return [best, distance];
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const [dot, distance] = nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, dots());
    show(distance < REACH ? dot : null);
  });
  svg.addEventListener("pointerleave", () => show(null));
  stage.addEventListener("blur", () => show(null));

  stage.addEventListener("keydown", (event) => {
    const all = dots();
    if (!all.length) return;
    if (event.key === "Escape") {
      show(null);
      return;
    }
    const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const up = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (across === undefined && up === undefined) return;
    event.preventDefault();
    if (!now || !all.includes(now)) {
      show(all[0]);
      return;
    }
    const [x, y] = place(now);
    if (across !== undefined) {
      // Along the line, and where it ends not at all.
      const own = [...now.parentNode.querySelectorAll("circle")];
      show(own[own.indexOf(now) + across] || now);
    } else {
      // To the next number above or below at about the same place; of equal ones each is met once.
      const column = all.filter((dot) => Math.abs(place(dot)[0] - x) < 2);
      column.sort((a, b) => place(a)[1] - place(b)[1] || all.indexOf(a) - all.indexOf(b));
      const to = column[column.indexOf(now) + up];
      show(to || now);
    }
  });
}

document.querySelectorAll("table[data-board]").forEach(sortable);
document.querySelectorAll("form[data-filters]").forEach(filtered);
document.querySelectorAll("[data-chart]").forEach(alive);
