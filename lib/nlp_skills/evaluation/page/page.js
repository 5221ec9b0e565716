// The browsable table of wrong predictions: filter, order, and rows that are made as they come into view.
"use strict";
(() => {
  const data = document.getElementById("rows");
  if (!data) return;
  const { language, scored, rows } = JSON.parse(data.textContent);
  const table = document.getElementById("wrong");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const filter = document.getElementById("filter");
  const byConfidence = document.getElementById("by-confidence");
  const more = document.getElementById("more");
  const shown = document.getElementById("shown");
  const words = rows.map((row) => row.slice(0, 4).join("\n").toLowerCase());
  const STEP = 50;
  let chosen = rows.map((_, index) => index);
  let made = body.rows.length;

  // Text goes in as textContent only: nothing in a row is ever read as markup.
  function makeRow([id, input, expected, predicted, confidence]) {
    const line = document.createElement("tr");
    const values = [input || id, expected, predicted];
    if (scored) values.push(confidence === null ? "" : confidence.toFixed(3));
    values.forEach((value, index) => {
      const cell = line.insertCell();
      cell.dataset.label = heads[index];
      let inner = cell;
      if (index === 0) {
        inner = cell.appendChild(document.createElement("span"));
        inner.className = "input";
        if (language) inner.lang = language;
        cell.title = id;
      }
      inner.textContent = value;
    });
    return line;
  }

  function extend() {
    const next = chosen.slice(made, made + STEP);
    body.append(...next.map((index) => makeRow(rows[index])));
    made += next.length;
    more.hidden = made >= chosen.length;
  }

  function refresh() {
    const query = filter.value.trim().toLowerCase();
    chosen = rows.map((_, index) => index).filter((index) => words[index].includes(query));
    if (byConfidence && byConfidence.checked) chosen.sort((a, b) => (rows[b][4] ?? -1) - (rows[a][4] ?? -1) || a - b);
    const count = chosen.length.toLocaleString("en");
    shown.value = query ? `${count} of ${rows.length.toLocaleString("en")} rows` : `${count} rows`;
    body.replaceChildren();
    made = 0;
    extend();
  }

  filter.addEventListener("input", refresh);
  if (byConfidence) byConfidence.addEventListener("change", refresh);
  more.addEventListener("click", extend);
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && !more.hidden) extend();
  }, { rootMargin: "400px" }).observe(more);
  document.getElementById("controls").hidden = false;
  refresh();
})();
