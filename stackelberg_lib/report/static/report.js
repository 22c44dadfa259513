// Light and dark: the system's wish, unless a reader has chosen; contents open where there is room; all open in print;
// what scrolls sideways can be reached from the keyboard.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
function kept(theme) {
  try {  // pages opened from a disk may have no storage
    if (theme) localStorage.setItem("theme", theme);
    return localStorage.getItem("theme");
  } catch { return null; }
}
function show(theme) {
  if (theme) root.dataset.theme = theme;
  const isDark = (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  document.querySelectorAll("button.theme").forEach((button) => { button.textContent = isDark ? "Light" : "Dark"; });
  return isDark;
}
show(kept());
addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("button.theme").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => { const theme = show() ? "light" : "dark"; kept(theme); show(theme); });
  });
  show();
  const wide = matchMedia("(min-width: 1100px)");
  const contents = () => document.querySelectorAll(".toc").forEach((toc) => { toc.open = wide.matches; });
  wide.addEventListener("change", contents);
  contents();
  const boxes = () => document.querySelectorAll("pre, .jp-OutputArea-output, .jp-MarkdownOutput table").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  addEventListener("resize", boxes);
  window.MathJax?.startup?.promise?.then(boxes);
  boxes();
});
dark.addEventListener("change", () => show());
addEventListener("beforeprint", () => document.querySelectorAll("details.long").forEach((long) => { long.open = true; }));
