// The list of rows: only those in view are in the document, whatever the number.

class RowList {
  static HEIGHT = 54;
  static MARGIN = 6;

  constructor(index, chosen, opened) {
    this.index = index;
    this.chosen = chosen;
    this.box = document.getElementById("list");
    this.sizer = element("div", { class: "sizer", role: "presentation" });
    this.box.append(this.sizer);
    this.rows = [];
    this.at = -1;
    this.score = 0;
    this.hidden = new Set();
    let waiting = false;
    const later = () => {
      if (!waiting) requestAnimationFrame(() => { waiting = false; this.draw(); });
      waiting = true;
    };
    this.box.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later, { passive: true });
    this.box.addEventListener("click", (event) => {
      const entry = event.target.closest("[role=option]");
      if (entry) { this.choose(Number(entry.dataset.at)); opened(); }
    });
  }

  // Shows these rows. The chosen one stays chosen while it is among them, else the first one is.
  show(rows, score, { keep = true } = {}) {
    const before = this.rows[this.at];
    this.rows = rows;
    this.score = score;
    this.sizer.style.height = `${rows.length * RowList.HEIGHT}px`;
    const at = keep && before !== undefined ? rows.indexOf(before) : -1;
    this.at = -1;
    this.choose(at < 0 && rows.length ? 0 : at);
  }

  // Shows more rows below those that are there.
  extend(rows) {
    const chosen = this.rows[this.at];
    this.rows = rows;
    this.sizer.style.height = `${rows.length * RowList.HEIGHT}px`;
    if (chosen === undefined && rows.length) this.choose(0);
    else this.draw();
  }

  choose(at) {
    if (this.rows.length) at = Math.min(Math.max(at, 0), this.rows.length - 1);
    else at = -1;
    this.at = at;
    if (at >= 0) {
      const top = at * RowList.HEIGHT;
      const below = top + RowList.HEIGHT - this.box.clientHeight;
      if (this.box.scrollTop > top) this.box.scrollTop = top;
      else if (this.box.scrollTop < below) this.box.scrollTop = below;
    }
    this.draw();
    this.chosen(at < 0 ? null : this.rows[at]);
  }

  move(by) {
    if (this.rows.length) this.choose(this.at + by);
  }

  get page() {
    return Math.max(1, Math.floor(this.box.clientHeight / RowList.HEIGHT) - 1);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / RowList.HEIGHT) - RowList.MARGIN);
    const count = Math.ceil(this.box.clientHeight / RowList.HEIGHT) + 2 * RowList.MARGIN;
    const last = Math.min(this.rows.length, first + count);
    const entries = [];
    for (let at = first; at < last; at++) entries.push(this.entry(at));
    this.sizer.replaceChildren(...entries);
    if (this.at >= 0) this.box.setAttribute("aria-activedescendant", `row-${this.rows[this.at]}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  entry(at) {
    const row = this.rows[at];
    const entry = element(
      "div",
      { id: `row-${row}`, class: "entry", role: "option", "data-at": at, "aria-setsize": this.rows.length, "aria-posinset": at + 1 },
      element("span", { class: "id" }, this.index.ids[row]),
      element("span", { class: "marks" }, ...this.marks(row)),
      element("span", { class: "preview" }, this.index.previews[row] || "(no prompt)"),
    );
    entry.setAttribute("aria-selected", String(at === this.at));
    entry.style.transform = `translateY(${at * RowList.HEIGHT}px)`;
    return entry;
  }

  marks(row) {
    return this.index.variants.map((variant, at) => {
      if (this.hidden.has(at)) return null;
      const codes = Array.from({ length: this.index.repeats }, (_, repeat) => this.index.state(this.score, row, at, repeat));
      // Repeats that ended differently are shown as partly right.
      const state = STATE_NAMES[codes.every((code) => code === codes[0]) ? codes[0] : "4"];
      const title = `${letter(at)} ${variant.name}: ${codes.map((code) => STATE_NAMES[code].title).join(", ")}`;
      return element("i", { class: `mark ${state.name}`, title, role: "img", "aria-label": title });
    });
  }
}
