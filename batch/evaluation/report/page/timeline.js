// Charts of a run over time, from the columns that results/timeline.py makes. The report and the live page draw the same.

const CHART = { width: 420, height: 190, left: 48, right: 10, top: 8, bottom: 22 };
const MOST_CODES = 6;
const CAUSES = {
  rate: "rate limits", concurrency: "concurrency", server: "the server", input: "the input", disk: "the disk", machine: "this machine", paused: "a pause", idle: "idle",
};

// The name of SVG elements, which is no address: a page that names none is seen to ask for none.
const SVG = ["http:", "", "www.w3.org", "2000", "svg"].join("/");
const svg = (name, attributes, ...children) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const short = (value) => {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(2)));
};
const asSeconds = (value) => (value === null || value === undefined ? "" : value < 1 ? `${Math.round(value * 1000)} ms` : `${short(value)} s`);
const asDollars = (value) => (value === null || value === undefined ? "" : `$${value >= 100 || !value ? short(value) : fixed(value, value < 0.1 ? 4 : 2)}`);
const asPercent = (value) => (value === null || value === undefined ? "" : `${Math.round(100 * value)} %`);

const clock = (time, withSeconds) => new Date(time * 1000).toLocaleTimeString("en-GB", withSeconds ? {} : { hour: "2-digit", minute: "2-digit" });

// A round value at or above `most`, for the top of an axis.
const roundUp = (most) => {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= most * 0.999);
};

// Which charts there are: a title, the form of a value, and the series, each a name with a value for each bucket.
const chartsOf = (data) => {
  const { width_s: width, ok, failed } = data;
  const perSecond = (column) => column.map((value) => value / width);
  const charts = [{ title: "Rows per second", format: short, series: [["ok", perSecond(ok), "right"], ["failed", perSecond(failed), "wrong"]] }];
  const flight = [["in flight", data.in_flight, "c0"]];
  if (data.limit.some((value) => value !== null)) flight.push(["limit", data.limit, "c3", "dashed"]);
  charts.push({ title: "Requests in flight", format: short, series: flight });
  for (const [key, title] of [["latency_s", "Latency of answers"], ["first_token_s", "Time to the first token"]]) {
    if (!Object.keys(data[key]).length) continue;
    charts.push({ title, format: asSeconds, series: Object.entries(data[key]).map(([name, column], at) => [name, column, `c${[0, 3, 4][at]}`]) });
  }
  const codes = Object.entries(data.attempts).map(([name, column]) => [name, perSecond(column)]);
  const ended = codes.slice(0, MOST_CODES);
  if (codes.length > MOST_CODES) ended.push(["others", ok.map((_, at) => codes.slice(MOST_CODES).reduce((sum, [, column]) => sum + column[at], 0))]);
  let colour = 1;
  charts.push({ title: "Attempts per second, by how they ended", format: short, series: ended.map(([name, column]) => [name, column, name === "ok" ? "right" : `c${colour++}`]) });
  charts.push({ title: "Tokens per second", format: short, series: [["in", perSecond(data.prompt_tokens), "c0"], ["out", perSecond(data.completion_tokens), "c3"]] });
  let sum = 0;
  const cost = data.cost_usd.map((value) => (sum += value));
  if (sum > 0) charts.push({ title: "Cost so far", format: asDollars, series: [["US dollars", cost, "c0"]] });
  const causes = Object.entries(data.limited_by_s);
  if (causes.length) {
    const whole = ok.map((_, at) => causes.reduce((all, [, column]) => all + column[at], 0));
    const share = (column) => column.map((value, at) => (whole[at] ? value / whole[at] : null));
    charts.push({
      title: "What limited the run", format: asPercent, most: 1, stacked: true,
      series: causes.map(([name, column], at) => [CAUSES[name] ?? name, share(column), `c${at}`]),
    });
  }
  return charts;
};

class TimeChart {
  constructor(box) {
    this.caption = element("figcaption");
    this.legend = element("p", { class: "legend" });
    this.values = element("p", { class: "values quiet" });
    this.drawing = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, class: "over-time", role: "img", tabindex: "0" });
    this.figure = element("figure", { class: "time-chart" }, this.caption, this.legend, this.drawing, this.values);
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.mark(null));
    this.drawing.addEventListener("keydown", (event) => this.key(event));
    box.append(this.figure);
  }

  // `places` are the positions of the buckets, from 0 to 1 along the axis; `breaks` those of pauses.
  show(chart, starts, width, places, breaks) {
    Object.assign(this, { chart, starts, width, places });
    this.caption.textContent = chart.title;
    this.legend.replaceChildren(...chart.series.map(([name, , colour]) => element("span", { class: colour }, element("i"), name)));
    const columns = chart.stacked ? this.stack(chart.series) : chart.series.map(([, column]) => column);
    const most = chart.most ?? roundUp(Math.max(0, ...columns.flat().filter((value) => value !== null)));
    this.y = (value) => CHART.height - CHART.bottom - (value / most) * (CHART.height - CHART.top - CHART.bottom);
    this.x = (place) => CHART.left + place * (CHART.width - CHART.left - CHART.right);
    this.cursor = svg("line", { class: "cursor", y1: CHART.top, y2: CHART.height - CHART.bottom, visibility: "hidden" });
    const drawn = columns.map((column, at) => this.line(column, chart.series[at], chart.stacked ? (columns[at - 1] ?? column.map(() => 0)) : null));
    const pauses = breaks.map((place) => svg("line", { class: "pause", x1: this.x(place), x2: this.x(place), y1: CHART.top, y2: CHART.height - CHART.bottom }));
    this.drawing.replaceChildren(...this.axes(most), ...pauses, ...drawn, this.cursor);
    const last = starts.length - 1;
    const said = chart.series.map(([name, column]) => `${name} ${chart.format(column[last]) || "none"}`);
    this.drawing.setAttribute("aria-label", `${chart.title} over time; at the end: ${said.join(", ")}; the axis ends at ${chart.format(most)}`);
    this.mark(this.at === undefined || this.at === null ? null : Math.min(this.at, last));
  }

  stack(series) {
    const below = this.starts.map(() => 0);
    return series.map(([, column]) => column.map((value, at) => (below[at] += value ?? 0)));
  }

  axes(most) {
    const right = CHART.width - CHART.right, floor = CHART.height - CHART.bottom;
    const lines = [0, 0.5, 1].flatMap((share) => {
      const y = this.y(share * most);
      return [
        svg("line", { class: "grid", x1: CHART.left, x2: right, y1: y, y2: y }),
        svg("text", { x: CHART.left - 6, y: y + 4, "text-anchor": "end" }, this.chart.format(share * most) || "0"),
      ];
    });
    const { starts } = this, last = starts.length - 1;
    const whole = starts[last] - starts[0];
    const label = (time) => (whole > 86400 ? `${new Date(time * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ` : "") + clock(time, whole < 600);
    const shown = last > 0 ? [[0, "start"], [last, "end"]] : [[0, "start"]];
    return lines.concat(shown.map(([at, anchor]) => svg("text", { x: this.x(this.places[at]), y: floor + 15, "text-anchor": anchor }, label(starts[at]))));
  }

  line(column, [name, , colour, style], floor) {
    const points = [];
    let pen = "M";
    column.forEach((value, at) => {
      const broken = at > 0 && this.starts[at] - this.starts[at - 1] > 1.5 * this.width;
      if (value === null || (broken && !floor)) pen = "M";
      if (value === null) return;
      points.push(`${pen}${fixed(this.x(this.places[at]), 1)} ${fixed(this.y(value), 1)}`);
      pen = "L";
    });
    if (floor) {
      const back = floor.map((value, at) => `L${fixed(this.x(this.places[at]), 1)} ${fixed(this.y(value), 1)}`).reverse();
      return svg("path", { class: `area ${colour}`, d: points.length ? `${points.join("")}${back.join("")}Z` : "" }, svg("title", {}, name));
    }
    return svg("path", { class: `series ${colour} ${style ?? ""}`, d: points.join("") });
  }

  point(event) {
    const box = this.drawing.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width * CHART.width - CHART.left) / (CHART.width - CHART.left - CHART.right);
    let nearest = 0;
    this.places.forEach((each, at) => {
      if (Math.abs(each - place) < Math.abs(this.places[nearest] - place)) nearest = at;
    });
    this.mark(nearest);
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.mark(Math.max(0, Math.min(this.starts.length - 1, (this.at ?? (by > 0 ? -1 : this.starts.length)) + by)));
  }

  mark(at) {
    this.at = at;
    const shown = at ?? this.starts.length - 1;
    this.cursor.setAttribute("visibility", at === null ? "hidden" : "visible");
    this.cursor.setAttribute("x1", this.x(this.places[shown] ?? 0));
    this.cursor.setAttribute("x2", this.x(this.places[shown] ?? 0));
    const values = this.chart.series.map(([name, column]) => `${name} ${this.chart.format(column[shown]) || "–"}`);
    this.values.textContent = `${clock(this.starts[shown], this.width < 60)}: ${values.join(", ")}`;
  }
}

class TimeCharts {
  constructor(box) {
    this.box = box;
    this.charts = new Map();
  }

  // `whole`: the last bucket is over; else it is left out, since it would look like a fall.
  show(data, { whole }) {
    const last = data.start.length - (whole || data.start.length < 2 ? 0 : 1);
    const cut = (value) => (Array.isArray(value) ? value.slice(0, last) : value !== null && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cut(each)])) : value);
    const shown = cut(data);
    this.box.hidden = !last;
    if (!last) return;
    // Buckets follow each other; a pause takes the room of two.
    const steps = [0], breaks = [];
    for (let at = 1; at < last; at++) {
      const paused = shown.start[at] - shown.start[at - 1] > Math.max(60, 3 * shown.width_s);
      if (paused) breaks.push(steps[at - 1] + 1);
      steps.push(steps[at - 1] + (paused ? 2 : 1));
    }
    const end = Math.max(1, steps[last - 1]);
    const wanted = chartsOf(shown).filter(({ series }) => series.length);
    const titles = new Set(wanted.map(({ title }) => title));
    for (const [title, chart] of this.charts) {
      if (titles.has(title)) continue;
      chart.figure.remove();
      this.charts.delete(title);
    }
    for (const chart of wanted) {
      if (!this.charts.has(chart.title)) this.charts.set(chart.title, new TimeChart(this.box));
      this.charts.get(chart.title).show(chart, shown.start, shown.width_s, steps.map((step) => step / end), breaks.map((step) => step / end));
    }
  }
}
