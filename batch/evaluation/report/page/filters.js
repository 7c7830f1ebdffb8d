// Which rows are shown. The index alone decides, but for the search, which marks rows in `hits`.

const STATES = [
  ["5", "right", "right"],
  ["4", "partial", "partly right"],
  ["3", "wrong", "wrong"],
  ["2", "unscored", "unscored"],
  ["1", "failed", "failed"],
  ["0", "missing", "not done"],
  ["6", "answered", "answered"],
];
const STATE_NAMES = Object.fromEntries(STATES.map(([code, name, title]) => [code, { name, title }]));
const NO_LABEL = "";
const STATE_GROUPS = { ...Object.fromEntries(STATES.map(([code, name]) => [name, code])), lost: "1234" };

class Index {
  constructor(document) {
    Object.assign(this, document);
    this.rows = this.ids.length;
    this.perRow = this.variants.length * this.repeats;
  }

  state(score, row, variant, repeat = 0) {
    return this.states[score][row * this.perRow + variant * this.repeats + repeat];
  }

  // The rows that pass. `wanted`: score, disagree, variant (null: any), states (a string of codes), rightBy (a variant), finish, column and value, hits, expected and given (labels).
  matching(wanted) {
    const passed = [];
    const finish = wanted.finish === null ? null : String.fromCharCode(48 + wanted.finish);
    const from = wanted.variant === null ? 0 : wanted.variant * this.repeats;
    const until = wanted.variant === null ? this.perRow : from + this.repeats;
    const right = wanted.rightBy * this.repeats;
    const labels = this.labels[wanted.score];
    const expected = labels && wanted.expected !== null ? labels.values.indexOf(wanted.expected) : null;
    const given = labels && wanted.given !== null ? labels.values.indexOf(wanted.given) : null;
    const ofTasks = wanted.states !== null || finish !== null || expected !== null || given !== null;
    const fits = { states: wanted.states, finish, labels, expected, given };
    const states = this.states[wanted.score];
    const codes = wanted.column === null ? null : this.columns[wanted.column].codes;
    for (let row = 0; row < this.rows; row++) {
      if (wanted.hits && !wanted.hits[row]) continue;
      if (wanted.disagree && this.disagree[wanted.score][row] !== "1") continue;
      if (wanted.rightBy !== null && !this.anyTask(states, row * this.perRow, right, right + this.repeats, { states: "5", finish: null, expected: null, given: null })) continue;
      if (codes && codes[row] !== wanted.value) continue;
      if (ofTasks && !this.anyTask(states, row * this.perRow, from, until, fits)) continue;
      passed.push(row);
    }
    return passed;
  }

  anyTask(codes, first, from, until, { states, finish, labels, expected, given }) {
    for (let task = first + from; task < first + until; task++) {
      if (states !== null && !states.includes(codes[task])) continue;
      if (finish !== null && this.finishCodes[task] !== finish) continue;
      if (expected !== null && labels.expected[task] !== expected) continue;
      if (given !== null && (labels.given[task] !== given || codes[task] === "0")) continue;
      return true;
    }
    return false;
  }
}

const letter = (at) => (at >= 26 ? String.fromCharCode(64 + Math.floor(at / 26)) : "") + String.fromCharCode(65 + (at % 26));

const option = (value, text, title) => element("option", { value, title }, text);

// The form's controls: filled from the index, read and set as one.
class Filters {
  constructor(index, changed) {
    this.index = index;
    this.changed = changed;
    for (const name of ["disagree", "variant", "state", "rightBy", "finish", "slice", "expected", "given", "search", "reset"]) this[name] = document.getElementById(name);
    this.fill();
    for (const select of [this.variant, this.state, this.rightBy, this.finish, this.slice, this.expected, this.given]) select.addEventListener("change", () => changed());
    this.disagree.addEventListener("click", () => {
      this.press(this.disagree.getAttribute("aria-pressed") !== "true");
      changed();
    });
    this.reset.addEventListener("click", () => this.set({}));
    document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  fill() {
    const { index } = this;
    this.variant.append(option("", "any"), ...index.variants.map((one, at) => option(at, `${letter(at)} ${one.short}`, one.name)));
    this.rightBy.append(option("", "any"), ...index.variants.map((one, at) => option(at, `${letter(at)} ${one.short}`, one.name)));
    const seen = STATES.filter(([code]) => index.states.some((codes) => codes.includes(code)));
    this.state.append(option("", "any"), ...seen.map(([, name, title]) => option(name, title)));
    if (index.scores.length) this.state.append(option("lost", "not right"));
    this.finish.append(option("", "any"));
    index.finishes.forEach((reason, at) => reason && this.finish.append(option(at, reason)));
    this.slice.append(option("", "any"));
    index.columns.forEach((column, at) => {
      const values = column.values.map((value, code) => [value, option(`${at}:${code}`, value.slice(0, 60), value)]);
      values.sort(([one], [other]) => one.localeCompare(other, undefined, { numeric: true }));
      this.slice.append(element("optgroup", { label: column.name }, ...values.map(([, made]) => made)));
    });
    this.slice.closest("label").hidden = !index.columns.length;
    this.disagree.hidden = index.variants.length < 2;
    this.variant.closest("label").hidden = index.variants.length < 2;
    this.rightBy.closest("label").hidden = index.variants.length < 2 || !index.scores.length;
  }

  // The labels of a score, where it reads labels.
  useScore(score) {
    const labels = this.index.labels[score];
    const chosen = [this.expected.value, this.given.value];
    const options = (labels?.values ?? []).map((value) => [value, value]).sort(([one], [other]) => one.localeCompare(other));
    this.expected.replaceChildren(option("any", "any"), ...options.map(([value, text]) => option(`=${value}`, text.slice(0, 60), text)));
    this.given.replaceChildren(option("any", "any"), option(`=${NO_LABEL}`, "no label"), ...options.map(([value, text]) => option(`=${value}`, text.slice(0, 60), text)));
    [this.expected, this.given].forEach((select, at) => {
      select.value = [...select.options].some((one) => one.value === chosen[at]) ? chosen[at] : "any";
      select.closest("label").hidden = !labels;
    });
  }

  press(pressed) {
    this.disagree.setAttribute("aria-pressed", String(pressed));
  }

  // Sets all filters at once; `to` has names, not numbers: disagree, variant, state, rightBy, finish, column, value, expected, given, search.
  set(to) {
    const { index } = this;
    const variant = index.variants.findIndex((one) => one.name === to.variant);
    const rightBy = index.variants.findIndex((one) => one.name === to.rightBy);
    const column = index.columns.findIndex((one) => one.name === to.column);
    const code = column < 0 ? -1 : index.columns[column].values.indexOf(to.value);
    this.press(Boolean(to.disagree));
    this.variant.value = variant < 0 ? "" : variant;
    this.state.value = to.state ?? "";
    this.rightBy.value = rightBy < 0 ? "" : rightBy;
    const finish = index.finishes.indexOf(to.finish);
    this.finish.value = to.finish && finish >= 0 ? finish : "";
    for (const name of ["expected", "given"]) {
      this[name].value = to[name] === undefined ? "any" : `=${to[name]}`;
      if (this[name].selectedIndex < 0) this[name].value = "any";
    }
    this.slice.value = code < 0 ? "" : `${column}:${code}`;
    this.search.value = to.search ?? "";
    this.changed();
  }

  // What `set` takes: the filters that are on, by name.
  get named() {
    const { wanted, index } = this;
    const found = {
      disagree: wanted.disagree ? "1" : null,
      variant: wanted.variant === null ? null : index.variants[wanted.variant].name,
      state: this.state.value || null,
      rightBy: wanted.rightBy === null ? null : index.variants[wanted.rightBy].name,
      finish: wanted.finish === null ? null : index.finishes[wanted.finish],
      column: wanted.column === null ? null : index.columns[wanted.column].name,
      value: wanted.column === null ? null : index.columns[wanted.column].values[wanted.value],
      expected: wanted.expected,
      given: wanted.given,
      search: this.search.value.trim() || null,
    };
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== null));
  }

  get wanted() {
    const [column, value] = this.slice.value ? this.slice.value.split(":").map(Number) : [null, null];
    return {
      disagree: this.disagree.getAttribute("aria-pressed") === "true",
      variant: this.variant.value === "" ? null : Number(this.variant.value),
      states: this.state.value === "" ? null : STATE_GROUPS[this.state.value],
      rightBy: this.rightBy.value === "" ? null : Number(this.rightBy.value),
      finish: this.finish.value === "" ? null : Number(this.finish.value),
      column,
      value,
      expected: this.expected.value.startsWith("=") ? this.expected.value.slice(1) : null,
      given: this.given.value.startsWith("=") ? this.given.value.slice(1) : null,
    };
  }
}
