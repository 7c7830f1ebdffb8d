// The rows that pass the filters, as files: their ids, or a CSV with a line for each answer.

const saved = (name, type, text) => {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
};

// A cell as RFC 4180 has it. What a spreadsheet would run as a formula gets an apostrophe; numbers stay numbers.
const csvCell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const guarded = /^[=+\-@\t\r]/.test(text) && !/^[+-]?[\d.]+(?:e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
};

const csvLine = (values) => `${values.map(csvCell).join(",")}\r\n`;

const exportIds = (index, rows) => saved("ids.txt", "text/plain", rows.map((row) => `${index.ids[row]}\n`).join(""));

const exportCsv = async (index, texts, rows, hidden) => {
  const ofScores = index.scores.flatMap((name) => [`${name}`, `${name} extracted`, `${name} reason`, `${name} expected`]);
  const lines = [csvLine(["id", "row", "variant", "repeat", "state", "answer", "error", ...ofScores, ...index.carried])];
  for (const row of rows) {
    const [id, , carried, expected, tasks] = await texts.row(row);
    index.variants.forEach((variant, at) => {
      if (hidden.has(at)) return;
      for (let repeat = 0; repeat < index.repeats; repeat++) {
        const task = tasks[at * index.repeats + repeat];
        const marks = index.scores.flatMap((_, score) => [...(task?.[7][score] ?? [null, null, null]), expected[score]]);
        const state = STATE_NAMES[index.state(0, row, at, repeat)].title;
        lines.push(csvLine([id, index.ordinals[row], variant.name, repeat, state, task?.[2] ?? task?.[4], task?.[5]?.[1], ...marks, ...carried]));
      }
    });
  }
  saved("samples.csv", "text/csv", lines.join(""));
};
