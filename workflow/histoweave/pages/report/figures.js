// Interactive figures. plotly.js is unpacked when the first one comes near the window.
const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const figures = readJson("figures");
const drawn = new Map(); // element → figure with the colours' names
const PAPER_PX = 680;

let library = null;
async function unpack() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script); // the content security policy knows its hash
}

// The same value with colours in place of their names in the style sheet.
const probe = document.body.appendChild(Object.assign(document.createElement("span"), { hidden: true }));
function coloured(value) {
  if (typeof value === "string") {
    if (!/^var\(--[a-z-]+\)$/.test(value)) return value;
    probe.style.color = value;
    return getComputedStyle(probe).color;
  }
  if (Array.isArray(value)) return value.map(coloured);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part)]));
}

function plotNow(element, figure, changes = {}) {
  drawn.set(element, figure);
  const { data, layout } = coloured(figure);
  Object.assign(layout, changes);
  // A finger that moves over a figure scrolls the page.
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
  return window.Plotly.react(element, data, layout, { responsive: true, displayModeBar: false });
}

async function drawPlot(element, figure) {
  await (library ??= unpack());
  await plotNow(element, figure);
}

{
  const drawAll = (figure) => {
    watcher.unobserve(figure);
    figure.classList.add("drawn");
    return Array.from(figure.querySelectorAll(".live"), (element) => drawPlot(element, figures[element.dataset.figure]));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) Promise.all(drawAll(target)).then(realign);
  }, { rootMargin: "500px" });
  const all = document.querySelectorAll("figure.interactive");
  for (const figure of all) watcher.observe(figure);
  document.addEventListener("themechange", () => { for (const [element, figure] of drawn) drawPlot(element, figure); });

  // Figures that are drawn above a section that was jumped to would push it away.
  let goal = null;
  const realign = () => goal?.scrollIntoView({ behavior: "instant" });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    goal = link ? document.getElementById(link.hash.slice(1)) : null;
  });
  for (const event of ["wheel", "touchmove", "keydown"]) document.addEventListener(event, () => { goal = null; }, { passive: true });

  // Paper gets what has no still figure, light and as wide as a sheet. It does not wait, so plotly.js is unpacked beforehand.
  const root = document.documentElement;
  let theme = null; // what the reader sees, while the page is on its way to paper
  const onPaper = () => Array.from(all).filter((figure) => !figure.classList.contains("still-there"));
  window.addEventListener("load", () => requestIdleCallback(() => { library ??= unpack(); }));
  window.addEventListener("beforeprint", () => {
    if (!window.Plotly) return;
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    for (const figure of onPaper()) {
      watcher.unobserve(figure);
      figure.classList.add("drawn");
      for (const element of figure.querySelectorAll(".live")) plotNow(element, figures[element.dataset.figure], { width: PAPER_PX });
    }
  });
  window.addEventListener("afterprint", () => {
    if (theme === null) return;
    [root.dataset.theme, theme] = [theme, null];
    for (const figure of onPaper()) {
      for (const element of figure.querySelectorAll(".live")) plotNow(element, figures[element.dataset.figure]);
    }
  });
}
