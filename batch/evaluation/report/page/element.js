// An element with properties and children. Texts become text nodes, never markup.

const element = (name, properties, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key in made && !key.includes("-")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

// A number with this many decimals; 0 has no sign.
const fixed = (value, digits) => (Number(value.toFixed(digits)) || 0).toFixed(digits);
