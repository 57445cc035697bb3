document.documentElement.classList.add("scripted");
// The window's colours, or light or dark for good, kept by the browser.
{
  const KEY = "histoweave theme";
  const WORDS = { auto: "Colours: automatic", light: "Colours: light", dark: "Colours: dark" };
  const kept = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* for this visit only */ } };
  const button = Object.assign(document.createElement("button"), { type: "button", className: "theme" });
  const use = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = WORDS[theme];
    document.dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    const names = Object.keys(WORDS);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    keep(next);
    use(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
  document.querySelector("header").append(button);
  use(kept() in WORDS ? kept() : "auto");
}
// Contents: marks the section that is being read; folds away where the window is narrow.
{
  const nav = document.querySelector("body > .body > nav");
  const links = new Map(Array.from(nav.querySelectorAll("a"), (link) => [link.hash.slice(1), link]));
  const button = Object.assign(document.createElement("button"), { type: "button", className: "unfold" });
  button.setAttribute("aria-controls", "contents-list");
  const here = document.createElement("span");
  button.append("Contents", here);
  nav.prepend(button);
  const unfold = (open) => { nav.classList.toggle("open", open); button.setAttribute("aria-expanded", String(open)); };
  unfold(false);
  button.addEventListener("click", () => unfold(!nav.classList.contains("open")));
  nav.addEventListener("click", (event) => { if (event.target.closest("a")) unfold(false); });
  nav.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && nav.classList.contains("open")) { unfold(false); button.focus(); }
  });
  const mark = (id) => {
    for (const [name, link] of links) {
      if (name === id) link.setAttribute("aria-current", "location"); else link.removeAttribute("aria-current");
    }
    const link = links.get(id);
    here.textContent = link.textContent;
    if (nav.scrollHeight > nav.clientHeight) nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
  };
  // A section is being read when it crosses a line at a quarter of the window.
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) mark(target.id);
  }, { rootMargin: "-25% 0px -74% 0px" });
  for (const section of document.querySelectorAll("main > section")) if (links.has(section.id)) watcher.observe(section);
}
// Paper has no folding: open everything for printing, and put it back.
{
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
}
