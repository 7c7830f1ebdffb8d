// Texts of models made readable: Markdown, LaTeX and JSON as elements of this page's own making. No text ever becomes markup.

const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\$\$([\s\S]+?)\$\$|\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]|(\*\*|__)(?=\S)([\s\S]+?)(?<=\S)\7|(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])|\[([^\]\n]+)\]\(([^)\s]+)\)/g;

// A line of text as nodes: code, formulas, bold, italic. A link is its text with its address beside it; nothing here can be clicked.
const inline = (text, plain) => {
  const nodes = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > from) nodes.push(plain(text.slice(from, found.index)));
    from = found.index + found[0].length;
    const formula = found[3] ?? found[4] ?? found[5] ?? found[6];
    if (found[2] !== undefined) nodes.push(element("code", null, plain(found[2])));
    else if (formula !== undefined) nodes.push(element("span", { class: "formula", title: found[0] }, ...formulaNodes(formula)));
    else if (found[8] !== undefined) nodes.push(element("strong", null, ...inline(found[8], plain)));
    else if (found[9] !== undefined) nodes.push(element("em", null, ...inline(found[9], plain)));
    else nodes.push(element("u", null, plain(found[10])), element("span", { class: "quiet" }, ` (${found[11]})`));
  }
  if (from < text.length) nodes.push(plain(text.slice(from)));
  return nodes;
};

const SYMBOLS = {
  times: "×", cdot: "·", div: "÷", pm: "±", mp: "∓", le: "≤", leq: "≤", ge: "≥", geq: "≥", ne: "≠", neq: "≠", approx: "≈", equiv: "≡", infty: "∞",
  to: "→", rightarrow: "→", Rightarrow: "⇒", implies: "⇒", iff: "⇔", in: "∈", notin: "∉", subset: "⊂", cup: "∪", cap: "∩", emptyset: "∅", forall: "∀",
  exists: "∃", sum: "∑", prod: "∏", int: "∫", partial: "∂", nabla: "∇", ldots: "…", dots: "…", cdots: "⋯", circ: "°", degree: "°", angle: "∠",
  perp: "⊥", parallel: "∥", alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", theta: "θ", lambda: "λ", mu: "μ", pi: "π", rho: "ρ",
  sigma: "σ", tau: "τ", phi: "φ", varphi: "φ", chi: "χ", psi: "ψ", omega: "ω", Gamma: "Γ", Delta: "Δ", Theta: "Θ", Lambda: "Λ", Pi: "Π", Sigma: "Σ",
  Phi: "Φ", Psi: "Ψ", Omega: "Ω", quad: " ", qquad: "  ", ",": " ", ";": " ", ":": " ", "!": "", " ": " ", "%": "%", $: "$", "&": "&", "#": "#", _: "_",
  "{": "{", "}": "}", "\\": " ", left: "", right: "", displaystyle: "", limits: "",
};
const STYLES = new Set(["text", "mathrm", "mathbf", "textbf", "mathit", "operatorname", "mathbb", "mathcal", "boxed", "overline", "vec", "textit"]);

// A formula as nodes: fractions, roots, powers and indices, and symbols by their names; what is not known stays as it is written.
const formulaNodes = (tex) => {
  let at = 0;
  let depth = 0;
  const command = () => /^(?:[A-Za-z]+|[\s\S])/.exec(tex.slice(at))?.[0] ?? "";
  const argument = () => {
    while (tex[at] === " ") at++;
    if (tex[at] === "{") { at++; return sequence("}"); }
    return at < tex.length ? single() : [];
  };
  const grouped = (nodes) => (nodes.length > 1 || (nodes[0]?.textContent ?? "").length > 1 ? ["(", ...nodes, ")"] : nodes);
  const single = () => {
    const sign = tex[at++];
    if (sign !== "\\") return [sign === "~" ? " " : sign];
    const name = command();
    at += name.length;
    if (name === "frac" || name === "dfrac" || name === "tfrac" || name === "cfrac") {
      const above = argument();
      return [...grouped(above.map(node)), "⁄", ...grouped(argument().map(node))];
    }
    if (name === "sqrt") return ["√", ...grouped(argument().map(node))];
    if (STYLES.has(name)) return name === "boxed" ? [element("span", { class: "boxed" }, ...argument())] : argument();
    if (Object.hasOwn(SYMBOLS, name)) return [SYMBOLS[name]];
    return [`\\${name}`];
  };
  const node = (part) => (typeof part === "string" ? document.createTextNode(part) : part);
  const sequence = (end) => {
    const nodes = [];
    if (++depth > 60) { depth--; const rest = tex.slice(at); at = tex.length; return [rest]; }
    while (at < tex.length && tex[at] !== end) {
      if (tex[at] === "^" || tex[at] === "_") {
        const name = tex[at++] === "^" ? "sup" : "sub";
        nodes.push(element(name, null, ...argument()));
      } else if (tex[at] === "{") { at++; nodes.push(...sequence("}")); }
      else nodes.push(...single());
    }
    at++;
    depth--;
    return nodes;
  };
  return sequence(null);
};

// A JSON text as nodes: indented, with keys, texts, numbers and constants told apart by class; null for what is no JSON object or list.
const JSON_TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g;
const jsonNodes = (text, plain) => {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return null;
  let shown;
  try { shown = JSON.stringify(JSON.parse(trimmed), null, 2); } catch { return null; }
  const nodes = [];
  let from = 0;
  for (const found of shown.matchAll(JSON_TOKEN)) {
    nodes.push(shown.slice(from, found.index));
    const kind = found[2] ? "json-key" : found[1] ? "json-text" : "json-value";
    nodes.push(element("span", { class: kind }, plain(found[1] ?? found[0])), found[2] ?? "");
    from = found.index + found[0].length;
  }
  return [element("pre", { class: "json" }, ...nodes, shown.slice(from))];
};

const FENCE = /^\s*(```+|~~~+)\s*([\w+-]*)\s*$/;
const ITEM = /^(\s*)(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const ROW = /^\s*\|.*\|\s*$/;
const cellsOf = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

// A text as elements, block by block. `plain(text)` makes the nodes of a piece of text.
const formatted = (text, plain) => {
  const whole = jsonNodes(text, plain);
  if (whole) return whole;
  const lines = text.split("\n");
  const blocks = [];
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) blocks.push(element("p", null, ...inline(paragraph.join("\n"), plain)));
    paragraph = [];
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (fence) {
      flush();
      const inside = [];
      while (++at < lines.length && !lines[at].trim().startsWith(fence[1])) inside.push(lines[at]);
      const code = inside.join("\n");
      blocks.push(...((/^json/i.test(fence[2]) && jsonNodes(code, plain)) || [element("pre", { class: "code" }, plain(code))]));
    } else if (heading) {
      flush();
      blocks.push(element("p", { class: `heading level-${heading[1].length}` }, ...inline(heading[2], plain)));
    } else if (ROW.test(line) && /^\s*\|?[\s:|-]+\|?\s*$/.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
      flush();
      const made = element("table", null, element("thead", null, element("tr", null, ...cellsOf(line).map((cell) => element("th", null, ...inline(cell, plain))))));
      const body = element("tbody");
      at++;
      while (ROW.test(lines[at + 1] ?? "")) body.append(element("tr", null, ...cellsOf(lines[++at]).map((cell) => element("td", null, ...inline(cell, plain)))));
      made.append(body);
      blocks.push(element("div", { class: "scroll" }, made));
    } else if (ITEM.test(line)) {
      flush();
      const [, indent, number, said] = ITEM.exec(line);
      const item = element("p", { class: "item" }, element("span", { class: "bullet" }, number ? `${number}.` : "•"), element("span", null, ...inline(said, plain)));
      item.style.marginLeft = `${Math.min(indent.length, 12) * 0.6}em`;
      blocks.push(item);
    } else if (/^\s*>/.test(line)) {
      flush();
      blocks.push(element("p", { class: "quoted" }, ...inline(line.replace(/^\s*>\s?/, ""), plain)));
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      flush();
      blocks.push(element("hr"));
    } else if (!line.trim()) flush();
    else paragraph.push(line);
  }
  flush();
  return blocks;
};
