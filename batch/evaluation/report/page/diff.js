// The difference of two texts, by word where they are short enough, else by line.

const MOST_CELLS = 4e6;

// Pieces [kind, text]: "=" in both, "-" in the first alone, "+" in the second alone.
const differences = (first, second) => {
  for (const pattern of [/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu, /[^\n]*\n|[^\n]+$/g]) {
    const one = first.match(pattern) ?? [];
    const other = second.match(pattern) ?? [];
    let start = 0;
    while (start < one.length && start < other.length && one[start] === other[start]) start++;
    let end = 0;
    while (end < one.length - start && end < other.length - start && one[one.length - 1 - end] === other[other.length - 1 - end]) end++;
    const [left, right] = [one.slice(start, one.length - end), other.slice(start, other.length - end)];
    if ((left.length + 1) * (right.length + 1) > MOST_CELLS) continue;
    return joinedPieces([["=", one.slice(0, start).join("")], ...aligned(left, right), ["=", one.slice(one.length - end).join("")]]);
  }
  return joinedPieces([["-", first], ["+", second]]);
};

// The longest common subsequence of two lists of words, as pieces.
const aligned = (left, right) => {
  const width = right.length + 1;
  const longest = new Uint32Array((left.length + 1) * width);
  for (let a = left.length - 1; a >= 0; a--) {
    for (let b = right.length - 1; b >= 0; b--) {
      const at = a * width + b;
      longest[at] = left[a] === right[b] ? longest[at + width + 1] + 1 : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  const pieces = [];
  let [a, b] = [0, 0];
  while (a < left.length || b < right.length) {
    const at = a * width + b;
    if (a < left.length && b < right.length && left[a] === right[b]) { pieces.push(["=", left[a++]]); b++; }
    else if (b >= right.length || (a < left.length && longest[at + width] >= longest[at + 1])) pieces.push(["-", left[a++]]);
    else pieces.push(["+", right[b++]]);
  }
  return pieces;
};

const joinedPieces = (pieces) => pieces.reduce((found, [kind, text]) => {
  if (!text) return found;
  if (found.at(-1)?.[0] === kind) found.at(-1)[1] += text;
  else found.push([kind, text]);
  return found;
}, []);

const DIFFERENCE = { "=": null, "-": "del", "+": "ins" };

const differenceNodes = (first, second) => differences(first, second).map(([kind, text]) => (DIFFERENCE[kind] ? element(DIFFERENCE[kind], null, text) : text));
