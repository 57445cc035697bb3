"use strict";
// Pictures and heat maps of cards near the window, filters, sorting.
const data = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("concepts");
const cards = list ? Array.from(list.children, (element, place) => ({ element, ...data.cards[place] })) : [];
const cardOf = new Map(cards.map((card) => [card.element, card]));
const control = (id) => document.getElementById(id);
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// Colour of an activation from 0 to 1: a green that no stain has; what is under it stays visible.
const tint = (v) => [0, 200 + 55 * v, 170 + 20 * v, 255 * 0.72 * v ** 1.25];

function drawMap(cell, picture, [, text, layoutPlace]) {
  const values = bytesOf(text);
  const layout = data.layouts[layoutPlace];
  const canvas = document.createElement("canvas");
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const scale = Math.min(cell.clientWidth / picture.naturalWidth, cell.clientHeight / picture.naturalHeight);
  canvas.width = Math.round(picture.naturalWidth * scale * ratio);
  canvas.height = Math.round(picture.naturalHeight * scale * ratio);
  canvas.style.width = `${canvas.width / ratio}px`;
  canvas.style.height = `${canvas.height / ratio}px`;
  const context = canvas.getContext("2d");
  if (layout.places) {
    const places = new Uint16Array(bytesOf(layout.places).buffer);
    values.forEach((value, i) => {
      const [r, g, b, a] = tint(value / 255);
      context.fillStyle = `rgb(${r} ${g} ${b} / ${a / 255})`;
      const [x, y] = [places[2 * i] / 65535, places[2 * i + 1] / 65535];
      context.fillRect(x * canvas.width, y * canvas.height, layout.width * canvas.width, layout.height * canvas.height);
    });
  } else {
    const small = document.createElement("canvas");
    [small.width, small.height] = [layout.columns, layout.rows];
    const image = new ImageData(layout.columns, layout.rows);
    values.forEach((value, i) => image.data.set(tint(value / 255), 4 * i));
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true; // bilinear
    context.imageSmoothingQuality = "low";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
  cell.append(canvas);
}

function show(card) {
  card.element.querySelectorAll(".cell").forEach((cell, i) => {
    const content = card.cells[i];
    const [picture, map] = content;
    cell.classList.toggle("blank", picture === null);
    if (picture === null) return;
    let image = cell.querySelector("img");
    if (!image) {
      image = document.createElement("img");
      image.alt = "";
      image.src = "data:image/jpeg;base64," + data.pictures[picture];
      cell.append(image);
    }
    cell.querySelector("canvas")?.remove();
    if (map === null || !control("heat").checked) return;
    image.decode().then(() => {
      if (card.near && control("heat").checked && !cell.querySelector("canvas")) drawMap(cell, image, content);
    }, () => {});
  });
}

function leave(card) {
  for (const drawn of card.element.querySelectorAll(".cell > *")) drawn.remove();
}

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cardOf.get(target);
    const wasNear = card.near;
    card.near = isIntersecting;
    if (isIntersecting) show(card); else if (wasNear) leave(card);
  }
}, { rootMargin: "600px" });
for (const card of cards) watcher.observe(card.element);
const redraw = () => { for (const card of cards) if (card.near) show(card); };

const verdictFits = {
  "": () => true,
  open: (answer) => !isReviewed(answer),
  reviewed: (answer) => isReviewed(answer),
  accepted: (answer) => answer.verdict === "accepted",
  rejected: (answer) => answer.verdict === "rejected",
  named: (answer) => answer.name !== "",
};

// A test of whether a card fits the filters as they stand.
function wanted() {
  const chosen = (id) => control(id)?.value ?? "";
  const words = chosen("filter-text").toLowerCase().split(/\s+/).filter(Boolean);
  const places = [chosen("filter-classes"), chosen("filter-attributes")].filter((value) => value !== "").map(Number);
  const [verdict, alive, firing] = [chosen("filter-verdict"), chosen("filter-alive"), Number(chosen("filter-firing")) / 100];
  const nExternals = control("filter-alive")?.querySelectorAll("option:not([value='']):not([value='all'])").length;
  return (card) => {
    const answer = answerOf(card.concept);
    const text = `${card.text} ${answer.name} ${answer.comment}`.toLowerCase();
    return words.every((word) => text.includes(word))
      && places.every((place) => card.associated.includes(place))
      && (alive === "" || (alive === "all" ? card.alive.length === nExternals : card.alive.includes(Number(alive))))
      && card.order.firing >= firing
      && verdictFits[verdict](answer);
  };
}

function ordered() {
  const key = control("sort").value;
  const falling = key.startsWith("-");
  const name = key.replace("-", "");
  if (name === "name") {
    const title = (card) => answerOf(card.concept).name || "\uffff";
    return cards.toSorted((a, b) => title(a).localeCompare(title(b), "en", { numeric: true }) || a.order.rank - b.order.rank);
  }
  const value = (card) => card.order[name] ?? null;
  return cards.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.order.rank - b.order.rank;
    return (falling ? y - x : x - y) || a.order.rank - b.order.rank;
  });
}

function refresh() {
  const fits = wanted();
  let n = 0;
  for (const card of cards) {
    card.element.hidden = !fits(card);
    n += !card.element.hidden;
  }
  control("count").textContent = n === cards.length ? `${n} concepts` : `${n} of ${cards.length} concepts`;
  control("nothing").hidden = n > 0;
}

function sort() {
  list.append(...ordered().map((card) => card.element));
}

function openLinked() {
  const card = cards.find(({ concept }) => location.hash === `#concept-${concept}`);
  if (!card) return;
  if (card.element.hidden) { control("filters").reset(); refresh(); }
  card.element.scrollIntoView();
}

if (list) {
  let waiting = 0;
  control("filters").addEventListener("submit", (event) => event.preventDefault());
  control("filters").addEventListener("input", (event) => {
    if (event.target.id === "sort") { sort(); return; }
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 120);
  });
  control("filters").addEventListener("reset", () => setTimeout(() => { sort(); refresh(); }));
  control("heat").addEventListener("change", redraw);
  control("large").addEventListener("change", (event) => { list.classList.toggle("large", event.target.checked); redraw(); });
  window.addEventListener("hashchange", openLinked);
  window.addEventListener("beforeprint", () => { for (const card of cards) { card.near = true; show(card); } });
}
