// The switch between light and dark; without a choice the system's is taken.

const theme = () => {
  const button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const show = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
  };
  button.setAttribute("aria-pressed", String(prefersDark.matches));
  button.addEventListener("click", () => show(button.getAttribute("aria-pressed") !== "true"));
  prefersDark.addEventListener("change", (event) => show(event.matches));
};
