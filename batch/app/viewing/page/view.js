// The live page: asks for what is new, and shows it. Texts of rows and endpoints become text nodes, never markup.

const FAST = 1000, SLOW = 5000, RUNS = 10000;
const MOST_ROWS = 300;

const at = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const ago = (seconds) => {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  return `${Math.max(0, Math.round(seconds))} s`;
};
const ask = async (path, query) => {
  const reply = await fetch(`api/${path}?${new URLSearchParams(query)}`, { cache: "no-store" });
  const document = await reply.json().catch(() => ({ error: `the page's server replied ${reply.status}` }));
  if (document.error) throw new Error(document.error);
  return document;
};

class View {
  constructor() {
    this.charts = new TimeCharts(at("over-time"));
    at("all").addEventListener("click", () => this.choose(false));
    at("failed").addEventListener("click", () => this.choose(true));
    at("hold").addEventListener("click", () => this.toggleHold());
    at("find").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.value.trim()) this.open(event.target.value.trim());
    });
    window.addEventListener("hashchange", () => this.go());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !at("detail").hidden) this.shut();
    });
    this.failures = false;
    this.go();
    this.listRuns();
  }

  // The run in the address; none is the one that was given, or else the latest.
  go() {
    const run = new URLSearchParams(location.hash.slice(1)).get("run") ?? "";
    if (run === this.run) return;
    if (this.run !== undefined && !location.hash.includes("run=") && location.hash) return;
    this.run = run;
    this.after = 0;
    this.rows = [];
    this.bad = [];
    this.held = false;
    at("hold").setAttribute("aria-pressed", "false");
    this.shut();
    clearTimeout(this.timer);
    this.turn = (this.turn ?? 0) + 1;
    this.look(this.turn);
  }

  async look(turn) {
    let wait = SLOW;
    try {
      const found = await ask("run", { run: this.run, after: this.after });
      if (turn !== this.turn) return;
      at("problem").hidden = true;
      this.show(found);
      wait = !found.whole ? 50 : found.running ? FAST : SLOW;
    } catch (error) {
      if (turn !== this.turn) return;
      this.problem(error instanceof TypeError ? "promptmill view has ended; start it again for a new address" : error.message);
    }
    this.timer = setTimeout(() => this.look(turn), wait);
  }

  problem(text) {
    at("problem").textContent = text;
    at("problem").hidden = false;
  }

  show(found) {
    document.title = `${found.name} · promptmill view`;
    at("name").textContent = found.name;
    const sum = (key) => found.variants.reduce((all, variant) => all + variant[key], 0);
    const [ok, failed] = [sum("ok"), sum("failed")];
    const known = found.variants.every(({ total }) => total !== null);
    const total = known ? sum("total") : null;
    const done = total !== null && ok + failed >= total;
    const state = at("state");
    state.textContent = found.live?.paused ? "paused" : found.running ? "running" : done ? (failed ? "done, with failures" : "done") : "not running";
    state.className = `badge ${found.running ? "running" : failed ? "failing" : "plain"}`;
    const cost = found.timeline.cost_usd.reduce((all, value) => all + value, 0);
    const parts = [`${number(ok + failed)}${total === null ? "" : ` of ${number(total)}`} rows`, `${number(failed)} failed`];
    if (cost) parts.push(asDollars(cost));
    if (!found.whole) parts.push(`reading the journal: ${number(found.read)} records so far`);
    at("summary").textContent = parts.join(" · ");
    at("progress").replaceChildren(...found.variants.map((variant) => this.variant(variant)));
    this.charts.show(found.timeline, { whole: !found.running });
    this.flight(found);
    this.add(found);
    document.documentElement.dataset.ready = String(found.whole);
  }

  variant({ name, total, ok, failed }) {
    const whole = Math.max(total ?? 0, ok + failed, 1);
    const bar = svg("svg", { class: "bar", viewBox: `0 0 ${whole} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `${Math.floor((100 * (ok + failed)) / whole)} %` },
      svg("rect", { class: "ok", width: ok, height: 1 }), svg("rect", { class: "bad", x: ok, width: failed, height: 1 }));
    const counts = `${number(ok + failed)}${total === null ? "" : ` of ${number(total)}`}${failed ? `, ${number(failed)} failed` : ""}`;
    return element("div", { class: "variant" }, element("span", { class: "name" }, name), bar, element("span", { class: "quiet" }, counts));
  }

  flight({ live, now, account }) {
    const whole = Object.values(account).reduce((all, value) => all + value, 0);
    const shares = Object.entries(account).filter(([, value]) => value >= 0.005 * whole).map(([cause, value]) => `${CAUSES[cause] ?? cause} ${asPercent(value / whole)}`);
    const time = shares.length ? `time: limited by ${shares.join(", ")}` : "";
    const flight = live ? `${number(live.in_flight)} of at most ${number(live.limit)}, ${number(live.waiting)} wait for a retry` : "nothing";
    at("flight-note").textContent = [flight, time].filter(Boolean).join("; ");
    const rows = (live?.oldest ?? []).slice(0, 12).map((each) => {
      const cells = [ago(now - each.since), number(each.row), each.id, each.variant, each.attempt, each.endpoint];
      return element("tr", null, ...cells.map((cell) => element("td", null, String(cell))));
    });
    at("oldest").replaceChildren(...rows);
    at("oldest").closest(".scroll").hidden = !rows.length;
  }

  add(found) {
    const newest = (kept, more) => [...more.reverse(), ...kept].slice(0, MOST_ROWS);
    const last = Math.max(this.after, ...found.rows.map((row) => row.number), ...found.failures.map((row) => row.number));
    if (last === this.after && this.drawn === this.turn) return;
    this.after = last;
    this.rows = newest(this.rows, found.rows);
    this.bad = newest(this.bad, found.failures);
    if (!this.held) this.draw();
  }

  draw() {
    this.drawn = this.turn;
    const shown = this.failures ? this.bad : this.rows;
    at("list").replaceChildren(...shown.map((row) => this.entry(row)));
    if (!shown.length) at("list").append(element("li", { class: "note" }, this.failures ? "No failures." : "No rows yet."));
  }

  entry(row) {
    const facts = [row.done === null ? "" : clock(row.done, true), row.variant, asSeconds(row.latency_s), row.attempts > 1 ? `${row.attempts} attempts` : ""];
    const name = row.id === String(row.row) ? `row ${number(row.row)}` : `row ${number(row.row)} · ${row.id}`;
    const button = element("button", { type: "button", class: row.ok ? "" : "bad", "aria-pressed": "false" },
      element("span", { class: "head" }, element("b", null, name), ...facts.filter(Boolean).map((fact) => element("span", null, fact))),
      element("span", { class: "text" }, row.text || "–"));
    button.addEventListener("click", () => {
      for (const other of at("list").querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", "true");
      if (!this.held) this.toggleHold();
      this.open(row.id);
    });
    return element("li", null, button);
  }

  choose(failures) {
    this.failures = failures;
    at("all").setAttribute("aria-pressed", String(!failures));
    at("failed").setAttribute("aria-pressed", String(failures));
    this.draw();
  }

  toggleHold() {
    this.held = !this.held;
    at("hold").setAttribute("aria-pressed", String(this.held));
    if (!this.held) this.draw();
  }

  async open(id) {
    const box = at("detail");
    box.hidden = false;
    at("both").classList.add("open");
    box.replaceChildren(element("p", { class: "quiet" }, "Reading …"));
    const asked = (this.asked = {});
    try {
      const row = await ask("row", { run: this.run, id });
      if (asked === this.asked) box.replaceChildren(...this.detail(row));
    } catch (error) {
      if (asked === this.asked) box.replaceChildren(this.shutButton(), element("p", null, error.message));
    }
    box.focus({ preventScroll: true });
  }

  shut() {
    this.asked = null;
    at("detail").hidden = true;
    at("both").classList.remove("open");
  }

  shutButton() {
    const button = element("button", { type: "button", class: "shut" }, "Close");
    button.addEventListener("click", () => this.shut());
    return button;
  }

  detail(row) {
    const facts = Object.entries(row.columns ?? {}).flatMap(([name, value]) => [element("dt", null, name), element("dd", null, typeof value === "string" ? value : JSON.stringify(value))]);
    return [
      element("h3", null, `row ${number(row.row)} · id ${row.id}`),
      this.shutButton(),
      row.problem ? element("p", { class: "note" }, row.problem) : element("dl", { class: "facts" }, ...facts),
      ...row.tasks.flatMap((task) => this.task(task)),
    ];
  }

  task(task) {
    const block = (text) => element("pre", { class: "said" }, text);
    const request = task.request ? JSON.stringify(task.request, null, 2) : task.request_error ?? "";
    const attempts = task.failed_attempts.map((attempt) => {
      const facts = [clock(attempt.time, true), attempt.endpoint, attempt.status === null ? "no reply" : `HTTP ${attempt.status}`, `after ${asSeconds(attempt.took_s)}`];
      if (attempt.wait_s !== null) facts.push(`sent again ${asSeconds(attempt.wait_s)} later`);
      if (attempt.request_id) facts.push(`request id ${attempt.request_id}`);
      return element("div", { class: "attempt" }, element("p", { class: "quiet" }, `attempt ${attempt.number}: ${facts.join(", ")}`), element("p", null, `${attempt.code}: ${attempt.message}`), attempt.answer && attempt.answer !== attempt.message ? block(attempt.answer) : null);
    });
    const flight = task.in_flight ? [element("p", { class: "quiet" }, `attempt ${task.in_flight.attempt} is in flight`)] : [];
    const { outcome } = task;
    const ended = outcome === null ? [element("p", { class: "quiet" }, "no outcome yet")] : [
      element("p", { class: "quiet" }, [outcome.status, outcome.finish_reason, outcome.latency_s === null ? "" : asSeconds(outcome.latency_s), `${outcome.attempts} attempts`, outcome.cost_usd === null ? "" : asDollars(outcome.cost_usd)].filter(Boolean).join(", ")),
      outcome.error ? element("p", null, `${outcome.error.code}: ${outcome.error.message}`) : null,
      outcome.completion ? block(outcome.completion) : null,
    ].filter(Boolean);
    return [
      element("h4", null, task.variant, task.repeat ? ` · repeat ${task.repeat + 1}` : ""),
      element("details", null, element("summary", null, task.request_changed ? "request (changed since)" : "request"), block(request)),
      ...attempts, ...flight, ...ended,
    ];
  }

  async listRuns() {
    try {
      const { runs } = await ask("runs", {});
      const now = Date.now() / 1000;
      at("runs").replaceChildren(...runs.map((run, place) => {
        const facts = [run.state, `${number(run.done)}${run.total === null ? "" : ` of ${number(run.total)}`}`, run.cost_usd ? asDollars(run.cost_usd) : "", `${ago(now - run.started)} ago`];
        const current = run.run === this.run || (!this.run && place === 0);
        return element("li", null, element("a", { href: `#run=${encodeURIComponent(run.run)}`, "aria-current": current ? "true" : null }, run.run === "." ? run.name : run.run, element("small", null, facts.filter(Boolean).join(" · "))));
      }));
    } catch {
      // The look at the run says what is wrong.
    }
    clearTimeout(this.listing);
    this.listing = setTimeout(() => this.listRuns(), RUNS);
  }
}

theme();
const view = new View();
window.addEventListener("hashchange", () => view.listRuns());
