// The browser of predictions: search, filters, order and pages. Only the rows of one page are in the document.
"use strict";
(() => {
  const data = document.getElementById("rows");
  if (!data) return;
  const { language, scored, pairs, rows } = JSON.parse(data.textContent);
  const [ID, INPUT, EXPECTED, PREDICTED, CONFIDENCE, RIGHT, KINDS] = [0, 1, 2, 3, 4, 5, 6];
  const PAGE = 25;
  const find = (id) => document.getElementById(id);
  const valueOf = (id) => find(id)?.value ?? "";
  const table = find("found");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const words = rows.map((row) => row.slice(0, 4).join("\n").toLowerCase());
  const number = (value) => value.toLocaleString("en");
  let chosen = [];
  let start = 0;

  // Text goes in as textContent only: nothing in a row is ever read as markup.
  function addText(parent, className, text) {
    const part = parent.appendChild(document.createElement("span"));
    part.className = className;
    part.textContent = text;
    return part;
  }

  function makeRow(row) {
    const line = document.createElement("tr");
    const values = [null, row[EXPECTED], row[PREDICTED]];
    if (scored) values.push(row[CONFIDENCE] === null ? "" : row[CONFIDENCE].toFixed(3));
    values.push(row[RIGHT] ? "✓ right" : "");
    values.forEach((value, index) => {
      const cell = line.insertCell();
      cell.dataset.label = heads[index];
      if (index > 0) {
        cell.textContent = value;
        if (index === heads.length - 1 && !row[RIGHT]) addText(cell, "told-no", "✕ wrong");
        return;
      }
      const input = addText(cell, "input", row[INPUT] || row[ID]);
      if (language) input.lang = language;
      addText(cell, "row-id", row[ID]);
    });
    return line;
  }

  function paint() {
    body.replaceChildren(...chosen.slice(start, start + PAGE).map((index) => makeRow(rows[index])));
    const end = Math.min(start + PAGE, chosen.length);
    const span = chosen.length > PAGE ? `${number(start + 1)} to ${number(end)} of ` : "";
    const all = chosen.length < rows.length ? ` (of ${number(rows.length)})` : "";
    find("shown").value = `${span}${number(chosen.length)} rows${all}`;
    // Not `disabled`: a button that is gone takes the keyboard's place with it.
    find("previous").setAttribute("aria-disabled", start === 0);
    find("next").setAttribute("aria-disabled", end >= chosen.length);
    find("below").hidden = end >= chosen.length;
  }

  function wanted() {
    const query = valueOf("filter").trim().toLowerCase();
    const show = valueOf("show");
    const pair = valueOf("pair") === "" ? null : pairs[valueOf("pair")];
    const kind = valueOf("kind") === "" ? null : Number(valueOf("kind"));
    const [low, high] = valueOf("sure") === "" ? [null, null] : valueOf("sure").split("-").map(Number);
    return (row, index) =>
      (show === "" || (show === "right") === (row[RIGHT] === 1)) &&
      (pair === null || (row[RIGHT] === 0 && row[EXPECTED] === pair[0] && row[PREDICTED] === pair[1])) &&
      (kind === null || row[KINDS].includes(kind)) &&
      (low === null || (row[CONFIDENCE] !== null && row[CONFIDENCE] >= low && row[CONFIDENCE] < high)) &&
      words[index].includes(query);
  }

  function refresh() {
    const matches = wanted();
    chosen = [];
    rows.forEach((row, index) => matches(row, index) && chosen.push(index));
    const sign = { most: -1, least: 1 }[valueOf("order")];
    if (sign) {
      const sure = (index) => rows[index][CONFIDENCE] ?? (sign > 0 ? 2 : -1);
      chosen.sort((a, b) => rows[a][RIGHT] - rows[b][RIGHT] || sign * (sure(a) - sure(b)) || a - b);
    }
    start = 0;
    paint();
  }

  function turn(step) {
    const next = start + step * PAGE;
    if (next < 0 || next >= chosen.length) return;
    start = next;
    paint();
  }

  find("filter").addEventListener("input", refresh);
  for (const id of ["show", "pair", "kind", "sure", "order"]) find(id)?.addEventListener("change", refresh);
  find("previous").addEventListener("click", () => turn(-1));
  find("next").addEventListener("click", () => turn(1));
  find("further").addEventListener("click", () => {
    turn(1);
    find("controls").scrollIntoView({ behavior: "instant" });
    find("next").focus({ preventScroll: true });
  });
  find("controls").hidden = false;
  refresh();
})();
