// The page at work: theme, score tabs, filters, search, keyboard.

const SEARCH_DELAY = 150;
// Browsers slow down pages that change their address more often.
const REMEMBER_DELAY = 250;

const tabs = (changed) => {
  const buttons = [...document.querySelectorAll("#tabs [role=tab]")];
  const show = (score) => {
    for (const button of buttons) {
      const chosen = Number(button.dataset.score) === score;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    for (const section of document.querySelectorAll(".score")) section.classList.toggle("other", Number(section.dataset.score) !== score);
    changed(score);
  };
  for (const button of buttons) button.addEventListener("click", () => show(Number(button.dataset.score)));
  document.getElementById("tabs")?.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length];
    next.focus();
    show(Number(next.dataset.score));
  });
  if (buttons.length) show(0);
};

class Browser {
  constructor(index) {
    this.index = index;
    this.score = 0;
    this.hits = null;
    this.searching = 0;
    this.words = "";
    this.count = document.getElementById("count");
    this.texts = new Texts(index.starts, index.rows);
    this.live = false;
    this.detail = new Detail(index, this.texts, (by) => (by ? this.list.move(by) : this.close()), (row) => this.address(row));
    this.list = new RowList(index, (row) => this.chosen(row), () => this.open());
    this.filters = new Filters(index, () => this.changed());
    this.filters.useScore(0);
    this.hiding = new Hiding(index, () => this.hide());
    for (const table of document.querySelectorAll("table.sortable")) sortable(table);
    document.getElementById("export-ids").addEventListener("click", () => exportIds(index, this.list.rows));
    document.getElementById("export-csv").addEventListener("click", () => exportCsv(index, this.texts, this.list.rows, this.hiding.variants));
    let timer;
    this.filters.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.changed(), SEARCH_DELAY);
    });
    document.addEventListener("keydown", (event) => this.key(event));
    for (const button of document.querySelectorAll("[data-filter]")) {
      button.addEventListener("click", () => this.jump(JSON.parse(button.dataset.filter)));
    }
    const seen = STATES.filter(([code]) => index.states.some((codes) => codes.includes(code)));
    // A row whose tries ended differently has a mark of its own in the list.
    const partial = seen.some(([code]) => code === "4");
    const shown = seen.map(([, name, title]) => [name, name === "partial" && index.repeats > 1 ? `${title}, or tries differ` : title]);
    if (index.repeats > 1 && !partial) shown.push(["partial", "tries differ"]);
    document.getElementById("legend").append(...shown.map(([name, title]) => element("span", null, element("i", { class: `mark ${name}` }), title)));
    this.apply();
    this.go();
    window.addEventListener("hashchange", () => this.go());
    this.live = true;
  }

  // Shows a row; the address follows.
  chosen(row) {
    this.detail.show(row, this.score, this.words);
    this.remember();
  }

  // The address of a row with the filters, the score and the hidden variants as they are.
  address(row) {
    const state = new URLSearchParams(this.filters.named);
    if (this.score) state.set("score", this.index.scores[this.score]);
    if (this.hiding.variants.size) state.set("hide", [...this.hiding.variants].map(letter).join(","));
    return `#${[row === null ? "samples" : `row-${row}`, state.toString()].filter(Boolean).join("&")}`;
  }

  remember() {
    if (!this.live) return;
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const address = this.address(this.list.rows[this.list.at] ?? null);
      if (address !== location.hash) history.replaceState(null, "", address);
    }, REMEMBER_DELAY);
  }

  // Goes where the address says: a row, filters, a score. Other addresses are those of parts of the page.
  go() {
    const [place, ...rest] = location.hash.slice(1).split("&");
    const row = /^row-(\d+)$/.exec(place)?.[1];
    if (row === undefined && !rest.length) return;
    const state = Object.fromEntries(new URLSearchParams(rest.join("&")));
    const hidden = new Set((state.hide ?? "").split(","));
    this.hiding.set(this.index.variants.map((_, at) => at).filter((at) => hidden.has(letter(at))));
    this.hide();
    const score = Math.max(0, this.index.scores.indexOf(state.score));
    document.getElementById(`tab-${score}`)?.click();
    this.filters.set(state);
    const number = Number(row);
    if (row !== undefined && number < this.index.rows) {
      const at = this.list.rows.indexOf(number);
      this.list.choose(at < 0 ? this.list.at : at);
      if (rest.length || location.hash) document.getElementById("samples").scrollIntoView();
    }
  }

  hide() {
    this.list.hidden = this.hiding.variants;
    this.detail.hidden = this.hiding.variants;
    this.list.draw();
    this.detail.again();
    this.remember();
  }

  jump(filters) {
    this.filters.set(filters);
    document.getElementById("samples").scrollIntoView();
    this.list.box.focus({ preventScroll: true });
  }

  useScore(score) {
    this.score = score;
    this.filters.useScore(score);
    this.apply();
  }

  changed() {
    const words = this.filters.search.value.trim();
    if (words === this.words) this.apply();
    else this.search(words);
  }

  apply() {
    performance.mark("filter-start");
    const rows = this.index.matching({ ...this.filters.wanted, score: this.score, hits: this.hits });
    this.list.show(rows, this.score);
    this.tell();
    this.remember();
    performance.measure("filter", "filter-start");
  }

  async search(words) {
    const turn = ++this.searching;
    this.words = words;
    this.hits = words ? new Uint8Array(this.index.rows) : null;
    this.apply();
    if (!words) return;
    const stopped = () => turn !== this.searching;
    performance.mark("search-start");
    await this.texts.search(words, this.hits, (share) => this.found(share), stopped);
    if (!stopped()) performance.measure("search", "search-start");
  }

  found(share) {
    this.list.extend(this.index.matching({ ...this.filters.wanted, score: this.score, hits: this.hits }));
    this.tell(share < 1 ? `, ${Math.round(100 * share)} % searched` : "");
  }

  tell(more = "") {
    const number = (value) => value.toLocaleString("en");
    this.count.textContent = `${number(this.list.rows.length)} of ${number(this.index.rows)} rows${more}`;
  }

  open() {
    document.getElementById("browser").classList.add("open");
    this.detail.box.focus({ preventScroll: true });
  }

  close() {
    document.getElementById("browser").classList.remove("open");
    this.list.box.focus({ preventScroll: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inSearch = event.target === this.filters.search;
    if (!inSearch && event.target.closest?.("input, select, textarea")) return;
    if (inSearch ? this.searchKey(event.key) : this.browseKey(event.key, event.target)) event.preventDefault();
  }

  searchKey(key) {
    if (key === "Escape" && this.filters.search.value) {
      this.filters.search.value = "";
      this.changed();
    } else if (key === "Escape" || key === "Enter" || key === "ArrowDown") {
      if (key !== "Escape") this.changed();
      this.list.box.focus();
    } else return false;
    return true;
  }

  browseKey(key, target) {
    const inList = target === this.list.box;
    const moves = { j: 1, k: -1 };
    if (inList) {
      const { length } = this.list.rows;
      Object.assign(moves, { ArrowDown: 1, ArrowUp: -1, PageDown: this.list.page, PageUp: -this.list.page, Home: -length, End: length });
    }
    if (Object.hasOwn(moves, key)) this.list.move(moves[key]);
    else if (key === "/") this.filters.search.focus();
    else if (key === "Enter" && inList) this.open();
    else if (key === "Escape" && this.detail.box.contains(target)) this.close();
    else return false;
    return true;
  }
}

theme();
const overTime = document.getElementById("over-time-data");
if (overTime) unpack(overTime).then((text) => new TimeCharts(document.getElementById("over-time")).show(JSON.parse(text), { whole: true }));
unpack(document.getElementById("index")).then((text) => {
  const index = new Index(JSON.parse(text));
  let browser = null;
  // The tabs come first: an address may choose one.
  tabs((score) => browser?.useScore(score));
  browser = new Browser(index);
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
});
