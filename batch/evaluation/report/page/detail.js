// One row, read whole: its prompt, what was expected, and the answers of all variants side by side.

// A text as nodes, with every place that holds `words` marked.
const marked = (text, words) => {
  const fragment = document.createDocumentFragment();
  const sought = words.toLowerCase();
  const lower = text.toLowerCase();
  let from = 0;
  // Some letters change their length in lower case; then places would be wrong, and nothing is marked.
  for (let at = sought && lower.length === text.length ? lower.indexOf(sought) : -1; at >= 0; at = lower.indexOf(sought, from)) {
    fragment.append(text.slice(from, at), element("mark", null, text.slice(at, at + sought.length)));
    from = at + sought.length;
  }
  fragment.append(text.slice(from));
  return fragment;
};

// Where what was extracted stands in an answer: its last place as a word of its own; null where it is nowhere, or all of the answer.
const extractedPlace = (text, extracted) => {
  const sought = extracted?.trim();
  if (!sought || sought.toLowerCase() === text.trim().toLowerCase()) return null;
  const escaped = sought.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+");
  const found = [...text.matchAll(new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, "giu"))].at(-1);
  return found ? [found.index, found.index + found[0].length] : null;
};

// A name with line-break opportunities within its long words, after slashes and the like.
const breakable = (name) =>
  name.split(/(?<= )/).flatMap((word) => (word.length > 24 ? word.split(/(?<=[^\s(][/:@_=])/).flatMap((part) => [part, element("wbr")]) : [word]));

const seconds = (value) => (value < 0.9995 ? `${fixed(value * 1000, 0)} ms` : `${fixed(value, 1)} s`);

const dollars = (value) => (value === 0 ? "$0" : `$${value.toPrecision(2)}`);

// What a reader has chosen stays so from row to row, and where the browser allows it from visit to visit.
const kept = (name, fallback) => {
  try { return localStorage.getItem(`promptmill-${name}`) ?? fallback; } catch { return fallback; }
};
const keep = (name, value) => {
  try { localStorage.setItem(`promptmill-${name}`, value); } catch { /* a page from a file may keep nothing */ }
};

class Detail {
  constructor(index, texts, moved, linked) {
    this.index = index;
    this.texts = texts;
    this.moved = moved;
    this.linked = linked;
    this.box = document.getElementById("detail");
    this.row = null;
    this.score = 0;
    this.words = "";
    this.hidden = new Set();
    this.view = kept("view", "text");
    this.promptOpen = kept("prompt", "folded") === "open";
    this.diff = [null, null];
  }

  async show(row, score, words) {
    const moved = this.row !== row;
    this.row = row;
    this.score = score;
    this.words = words;
    if (row === null) {
      this.box.replaceChildren(element("p", { class: "note" }, "No row passes these filters."));
      return;
    }
    const texts = await this.texts.row(row);
    // Another row may have been chosen while this one was unpacked.
    if (this.row !== row) return;
    const [id, prompts, carried, expected, tasks] = texts;
    const shared = tasks.every((task) => !task || task[0] === null || task[0] === 0) && prompts.length === 1;
    this.box.replaceChildren(
      this.head(row, id),
      this.facts(carried, expected),
      shared ? this.prompt(prompts[0], this.index.previews[row]) : "",
      this.controls(tasks),
      this.difference(tasks) ?? "",
      element("div", { class: "answers", role: "group", "aria-label": "Answers" }, ...this.answers(tasks, prompts, shared, row, score)),
    );
    if (moved) this.box.scrollTop = 0;
  }

  // Shows the row once more, after a choice that concerns all rows.
  again(focused) {
    return this.show(this.row, this.score, this.words).then(() => document.getElementById(focused)?.focus());
  }

  // How texts are shown, and which two are held against each other.
  controls(tasks) {
    const button = (view, text, title) => {
      const made = element("button", { type: "button", id: `view-${view}`, title }, text);
      made.setAttribute("aria-pressed", String(this.view === view));
      made.addEventListener("click", () => { this.view = view; keep("view", view); this.again(made.id); });
      return made;
    };
    const shown = this.index.variants.map((_, at) => at).filter((at) => !this.hidden.has(at));
    const choice = (side) => {
      const select = element("select", { id: `diff-${side}`, "aria-label": side ? "Second answer" : "First answer" }, option("", "–"));
      select.append(...shown.map((at) => option(at, letter(at), this.index.variants[at].name)));
      select.value = this.diff[side] ?? "";
      select.addEventListener("change", () => { this.diff[side] = select.value === "" ? null : Number(select.value); this.again(select.id); });
      return select;
    };
    const several = shown.length > 1 && tasks.some(Boolean);
    return element(
      "div",
      { class: "controls" },
      element("span", { class: "views", role: "group", "aria-label": "Show texts" }, button("text", "As text", "every character as the model wrote it"), button("formatted", "Formatted", "Markdown, formulas and JSON made readable")),
      several ? element("span", { class: "diffs" }, "Difference of ", choice(0), " and ", choice(1)) : null,
    );
  }

  difference(tasks) {
    const [first, second] = this.diff;
    if (first === null || second === null || first === second || this.hidden.has(first) || this.hidden.has(second)) return null;
    const [one, other] = [first, second].map((at) => tasks[at * this.index.repeats]?.[2] ?? null);
    const key = (at) => element("span", { class: "key", title: this.index.variants[at].name }, letter(at));
    const title = element("h4", null, key(first), " → ", key(second));
    const said = one === null || other === null
      ? element("p", { class: "note" }, "One of them has no text.")
      : one === other ? element("p", { class: "note" }, "Both say the same.") : element("pre", { class: "said" }, ...differenceNodes(one, other));
    return element("section", { class: "answer difference" }, title, said);
  }

  head(row, id) {
    const step = (by, text, title) => {
      const button = element("button", { type: "button", title, "aria-label": title }, text);
      button.addEventListener("click", () => this.moved(by));
      return button;
    };
    const close = element("button", { type: "button", class: "close" }, "Back");
    close.addEventListener("click", () => this.moved(0));
    return element(
      "div",
      { class: "head" },
      element("h3", { tabIndex: -1 }, this.text(id)),
      id === String(this.index.ordinals[row]) ? "" : element("span", { class: "quiet" }, `row ${this.index.ordinals[row]}`),
      element("span", { class: "steps" }, element("a", { class: "link", href: this.linked(row), title: "The address of this row with the filters as they are" }, "Link"), close, step(-1, "‹", "Previous row"), step(1, "›", "Next row")),
    );
  }

  facts(carried, expected) {
    const list = element("dl", { class: "facts" });
    const add = (name, value) => value !== null && value !== undefined && list.append(element("dt", null, name), element("dd", null, this.text(value)));
    const alike = new Set(expected).size === 1;
    expected.slice(0, alike ? 1 : undefined).forEach((value, at) => add(alike ? "Expected" : `Expected (${this.index.scores[at]})`, value));
    carried.forEach((value, at) => add(this.index.carried[at], value));
    return list;
  }

  // The prompt is folded, so that the answers are in view, and stays as it was left.
  prompt(messages, preview) {
    const parts = messages.map(([role, text]) =>
      element("div", { class: "message" }, role ? element("span", { class: "role" }, role) : "", element("pre", null, this.text(text))));
    const summary = element("summary", null, "Prompt ", element("span", { class: "preview" }, this.text(preview ?? "")));
    const made = element("details", { class: "prompt", open: this.promptOpen }, summary, ...parts);
    // A click comes before the change. The toggle event comes later, when the next row may be shown already.
    summary.addEventListener("click", () => {
      this.promptOpen = !made.open;
      keep("prompt", this.promptOpen ? "open" : "folded");
    });
    return made;
  }

  answers(tasks, prompts, shared, row, score) {
    const { variants, repeats } = this.index;
    return variants.map((variant, at) => {
      if (this.hidden.has(at)) return null;
      const title = element("h4", null, element("span", { class: "key" }, letter(at)), element("span", { class: "name", title: variant.name }, ...breakable(variant.short)));
      const how = element("details", { class: "how" }, element("summary", null, ...breakable(variant.model)), element("pre", null, variant.parameters));
      const made = Array.from({ length: repeats }, (_, repeat) => {
        const task = tasks[at * repeats + repeat];
        const own = !shared && task && task[0] !== null && repeat === 0 ? this.prompt(prompts[task[0]]) : "";
        return element("div", { class: "task" }, own, ...this.task(task, row, at, repeat, score));
      });
      return element("section", { class: "answer" }, title, how, ...made);
    }).filter(Boolean);
  }

  task(task, row, variant, repeat, score) {
    const state = STATE_NAMES[this.index.state(score, row, variant, repeat)];
    const badge = element("span", { class: `badge ${state.name}` }, state.title);
    const counted = this.index.repeats > 1 ? element("span", { class: "quiet" }, `try ${repeat + 1} of ${this.index.repeats}`) : null;
    if (!task) return [element("p", { class: "verdict" }, badge, counted)];
    const [, other, text, reasoning, tools, error, record, marks] = task;
    const finish = this.index.finishes[this.index.finishCodes.charCodeAt(row * this.index.perRow + variant * this.index.repeats + repeat) - 48];
    const cut = finish && finish !== "stop" ? element("span", { class: "badge plain" }, finish) : null;
    return [
      element("p", { class: "verdict" }, badge, cut, counted),
      other ? element("p", { class: "note" }, "Another prompt was sent: the job or its input has changed since.") : null,
      error ? this.error(error) : null,
      text === null ? (error || tools ? null : element("p", { class: "note" }, "No text.")) : this.said(text, marks[score]?.[1]),
      tools ? element("pre", { class: "tools" }, this.text(tools)) : null,
      reasoning ? element("details", null, element("summary", null, "Reasoning"), element("pre", null, this.text(reasoning))) : null,
      ...this.marks(marks, score, text),
      element("p", { class: "record quiet" }, this.record(record)),
    ].filter(Boolean);
  }

  said(text, extracted) {
    if (text === "") return element("p", { class: "note" }, "An empty text.");
    if (this.view === "formatted") return element("div", { class: "said formatted" }, ...formatted(text, (piece) => this.text(piece)));
    // A hit of the search may go beyond what was extracted; it is looked for, so it is what is marked.
    const place = this.words && text.toLowerCase().includes(this.words.toLowerCase()) ? null : extractedPlace(text, extracted);
    if (!place) return element("pre", { class: "said" }, this.text(text));
    const [from, until] = place;
    const part = element("u", { class: "extracted", title: "what was scored" }, this.text(text.slice(from, until)));
    return element("pre", { class: "said" }, this.text(text.slice(0, from)), part, this.text(text.slice(until)));
  }

  error([kind, code, message, status]) {
    const name = element("strong", null, this.text(code));
    return element("p", { class: "error" }, name, ` (${kind}${status ? `, HTTP ${status}` : ""}): `, this.text(message));
  }

  // The marks of the score that is looked at, and those of the others to be unfolded.
  marks(marks, score, text) {
    const lists = marks.map((mark, at) => mark && this.mark(mark, this.index.scores[at], text));
    const others = lists.filter((list, at) => list && at !== score);
    const folded = others.length ? element("details", null, element("summary", null, "Other scores"), ...others) : null;
    return [lists[score] ?? null, folded];
  }

  mark([value, extracted, reason], name, text) {
    const list = element("dl", { class: "facts" });
    const add = (term, said) => list.append(element("dt", null, term), element("dd", null, said));
    if (this.index.scores.length > 1 || (value !== null && value !== 0 && value !== 1)) {
      add(name, value === null ? "no score" : String(Number(fixed(value, 3))));
    }
    const whole = extracted !== null && extracted.trim().toLowerCase() === text?.trim().toLowerCase();
    if (extracted !== null && !whole) add("Extracted", this.text(extracted));
    if (reason) add("Reason", this.text(reason));
    return list;
  }

  record([took, first, tokensIn, tokensOut, cost, attempts]) {
    const parts = [];
    if (took !== null) parts.push(seconds(took));
    if (first !== null) parts.push(`first token ${seconds(first)}`);
    if (tokensIn !== null || tokensOut !== null) parts.push(`${tokensIn ?? "?"} + ${tokensOut ?? "?"} tokens`);
    if (cost !== null) parts.push(dollars(cost));
    if (attempts > 1) parts.push(`${attempts} attempts`);
    return parts.join(" · ");
  }

  text(text) {
    return marked(String(text), this.words);
  }
}
