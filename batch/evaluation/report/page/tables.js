// Tables that can be sorted, and columns and variants that can be hidden.

const SCALES = { ms: 0.001, s: 1, "%": 1 };

// A cell as what it is sorted by: its first number, or its text. What is not known comes last.
const sortKey = (cell) => {
  const text = cell.innerText.trim();
  const found = /[−-]?\d[\d,]*(?:\.\d+)?/.exec(text);
  if (cell.matches("th") || !found) return found || cell.matches("th") ? text : null;
  const unit = /^\s*(ms|s|%)\b/.exec(text.slice(found.index + found[0].length))?.[1];
  return Number(found[0].replace("−", "-").replaceAll(",", "")) * (SCALES[unit] ?? 1);
};

const sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies[0].rows];
  const sortBy = (at) => {
    const before = heads[at].getAttribute("aria-sort");
    const order = at === 0 ? ["ascending", "descending", null] : ["descending", "ascending", null];
    const wanted = order[order.indexOf(before) + 1] ?? (before === null ? order[0] : null);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    const rows = [...original];
    if (wanted) {
      heads[at].setAttribute("aria-sort", wanted);
      const sign = wanted === "ascending" ? 1 : -1;
      const keys = new Map(rows.map((row) => [row, sortKey(row.cells[at])]));
      rows.sort((one, other) => {
        const [a, b] = [keys.get(one), keys.get(other)];
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
      });
    }
    table.tBodies[0].append(...rows);
  };
  heads.forEach((head, at) => {
    if (head.querySelector("svg") || !head.textContent.trim()) return;
    const button = element("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(at));
    head.append(button);
  });
};

// What is hidden: variants everywhere, columns in their own table.
class Hiding {
  constructor(index, changed) {
    this.index = index;
    this.changed = changed;
    this.variants = new Set();
    this.columns = new Map();
    this.boxes = [];
    for (const table of document.querySelectorAll("table.sortable")) this.columnMenu(table);
    this.variantMenu();
  }

  menu(title, choices, chosen) {
    const boxes = choices.map(([value, label]) => {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => chosen(value, box.checked));
      return [box, element("label", null, box, label)];
    });
    const all = element("button", { type: "button" }, "All");
    all.addEventListener("click", () => boxes.forEach(([box], at) => { box.checked = true; chosen(choices[at][0], true); }));
    const none = element("button", { type: "button" }, "None");
    none.addEventListener("click", () => boxes.forEach(([box], at) => { box.checked = false; chosen(choices[at][0], false); }));
    const made = element("details", { class: "menu" }, element("summary", null, title), element("div", { class: "choices" }, ...boxes.map(([, label]) => label), element("span", null, all, none)));
    made.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && made.open) { made.open = false; made.firstElementChild.focus(); event.stopPropagation(); }
    });
    document.addEventListener("click", (event) => { if (!made.contains(event.target)) made.open = false; });
    return [made, boxes.map(([box]) => box)];
  }

  columnMenu(table) {
    const heads = [...table.tHead.rows[0].cells].map((head, at) => [at, head.textContent.trim() || "Interval"]).slice(1);
    heads.forEach((head) => { if (table.tHead.rows[0].cells[head[0]].querySelector("svg")) head[1] = "Interval as a picture"; });
    this.columns.set(table, new Set());
    const [menu] = this.menu("Columns", heads, (at, shown) => {
      this.columns.get(table)[shown ? "delete" : "add"](at);
      this.applyTo(table);
    });
    table.closest(".scroll").before(menu);
  }

  variantMenu() {
    if (this.index.variants.length < 2) return;
    const choices = this.index.variants.map((one, at) => [at, element("span", { title: one.name }, element("span", { class: "key" }, letter(at)), ` ${one.short}`)]);
    const [menu, boxes] = this.menu("Variants", choices, (at, shown) => {
      this.variants[shown ? "delete" : "add"](at);
      this.apply();
      this.changed();
    });
    this.boxes = boxes;
    document.getElementById("tools").append(menu);
  }

  // Hides the variants of these numbers, and no others.
  set(variants) {
    this.variants = new Set(variants);
    this.boxes.forEach((box, at) => { box.checked = !this.variants.has(at); });
    this.apply();
  }

  apply() {
    for (const table of document.querySelectorAll("main > section table, .score table")) this.applyTo(table);
    for (const one of document.querySelectorAll("figure[data-variant]")) one.hidden = this.variants.has(Number(one.dataset.variant));
    for (const one of document.querySelectorAll("details.of-variant")) one.hidden = this.hides(one.querySelector("summary [data-variant]"));
  }

  hides(named) {
    return Boolean(named) && this.variants.has(Number(named.dataset.variant));
  }

  applyTo(table) {
    if (!table.tHead || table.closest("#detail")) return;
    const hidden = new Set(this.columns.get(table));
    [...table.tHead.rows[0].cells].forEach((head, at) => { if (this.hides(head.querySelector("[data-variant]"))) hidden.add(at); });
    for (const row of table.rows) {
      [...row.cells].forEach((cell, at) => { cell.hidden = hidden.has(at); });
      if (row.parentElement === table.tBodies[0]) row.hidden = this.hides(row.cells[0].querySelector("[data-variant]"));
    }
  }
}
