// Packed data: gzip in base64, in script elements that the browser does not run.

const pageParsed = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
  else resolve();
});

const bytesOf = (base64) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
};

const unpack = async (element) => {
  const packed = new Blob([bytesOf(element.textContent)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
};

const nextIdle = () => new Promise((resolve) => {
  if (window.requestIdleCallback) requestIdleCallback(resolve, { timeout: 100 });
  else setTimeout(resolve, 0);
});

// Whether one of a row's texts holds `sought`: its numbers, roles and the signs of the format are no texts.
const saysSo = ([id, prompts, carried, expected, tasks], sought) => {
  const says = (text) => typeof text === "string" && text.toLowerCase().includes(sought);
  const taskSays = (task) => task && (task.slice(2, 5).some(says) || task[5]?.slice(1, 3).some(says) || task[7].some((mark) => mark?.some(says)));
  return says(id) || prompts.flat().some(([, text]) => says(text)) || carried.some(says) || expected.some(says) || tasks.some(taskSays);
};

// The texts of all rows. A chunk is unpacked when it is asked for, and the chunks used last are kept.
class Texts {
  static MOST_KEPT = 24;

  constructor(starts, rows) {
    this.starts = starts;
    this.rows = rows;
    this.kept = new Map();
  }

  chunkOf(row) {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // A promise of the chunk's lines. It is kept itself, so that nothing is unpacked twice at a time.
  lines(chunk) {
    const lines = this.kept.get(chunk) ?? this.unpacked(chunk);
    this.kept.delete(chunk);
    this.kept.set(chunk, lines);
    if (this.kept.size > Texts.MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
    return lines;
  }

  async unpacked(chunk) {
    const name = `texts-${chunk}`;
    if (!document.getElementById(name)) await pageParsed;
    return (await unpack(document.getElementById(name))).split("\n");
  }

  async row(row) {
    const chunk = this.chunkOf(row);
    const lines = await this.lines(chunk);
    return JSON.parse(lines[row - this.starts[chunk]]);
  }

  // Marks in `hits` the rows whose texts hold `words`, chunk by chunk in idle time; `report(share)` after each. Ends early when `stopped()`.
  async search(words, hits, report, stopped) {
    // Texts lie in JSON, so the words are sought as JSON writes them.
    const needle = JSON.stringify(words).slice(1, -1).toLowerCase();
    const sought = words.toLowerCase();
    for (let chunk = 0; chunk < this.starts.length; chunk++) {
      await nextIdle();
      if (stopped()) return;
      const lines = await this.lines(chunk);
      if (stopped()) return;
      lines.forEach((line, at) => {
        if (line.toLowerCase().includes(needle) && saysSo(JSON.parse(line), sought)) hits[this.starts[chunk] + at] = 1;
      });
      report((chunk + 1) / this.starts.length);
    }
  }
}
