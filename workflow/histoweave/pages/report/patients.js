// One explained patient at a time: tiles on the slides, genes, gene tokens × tiles.
const browser = document.getElementById("patient-browser");
if (browser) {
  const control = (id) => document.getElementById(`patient${id}`);
  const patients = readJson("explained");
  const choice = control("");
  const SVG = document.createRange().createContextualFragment("<svg></svg>").firstChild.namespaceURI;
  const escaped = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  const signed = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(2)}`);
  const make = (name, content = {}, ...children) => {
    const element = Object.assign(document.createElement(name), content);
    element.append(...children);
    return element;
  };
  const svg = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const ranked = ({ top, bottom }) => [...top.map((tile, i) => ["for", i + 1, tile]), ...bottom.map((tile, i) => ["against", i + 1, tile])];

  function slide(name, tiles) {
    const shown = document.querySelector(`.thumbnail img[data-slide="${CSS.escape(name)}"]`);
    const placed = tiles.filter(([, , tile]) => tile.length > 2);
    if (!shown || !placed.length) {
      return make("p", { className: "quiet", textContent: `${name}: its picture is not on this page. The positions are in the tables below.` });
    }
    const [width, height] = [Number(shown.getAttribute("width")), Number(shown.getAttribute("height"))];
    const layer = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const letter = Math.max(width, height) / 26;
    for (const [side, rank, [, left, upper, wide, high]] of placed) {
      layer.append(svg("rect", { class: side, x: left * width, y: upper * height, width: wide * width, height: high * height }));
      const text = svg("text", { class: side, x: (left + wide / 2) * width, y: (upper + high / 2) * height, "font-size": letter });
      text.textContent = rank;
      layer.append(text);
    }
    const words = `Slide ${name} with the ${placed.length} tiles that speak most for and against the predicted class`;
    return make("figure", {}, make("span", { className: "slide" }, make("img", { src: shown.src, alt: words, width, height }), layer),
      make("figcaption", { textContent: name }));
  }

  function table(title, columns, rows) {
    const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col", textContent: column })));
    const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", { textContent: cell }))));
    const region = make("div", { className: "scroll", tabIndex: 0 },
      make("table", { className: "plain" }, make("caption", { className: "hidden", textContent: title }),
        make("thead", {}, head), make("tbody", {}, ...body)));
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", title);
    return region;
  }

  function show() {
    const patient = patients[Number(choice.value)];
    const tiles = ranked(patient);
    const right = patient.called === patient.true;
    control("-says").textContent = `${patient.patient}: true class ${patient.true}, predicted ${patient.called} with a `
      + `probability of ${patient.p.toFixed(2)}${right ? "" : " (wrong prediction)"}, by the model of fold ${patient.fold}.`;
    const names = [...new Set(tiles.map(([, , [name]]) => name))];
    control("-slides").replaceChildren(...(names.length
      ? names.map((name) => slide(name, tiles.filter(([, , tile]) => tile[0] === name)))
      : [make("p", { className: "quiet", textContent: "No tiles: this patient has no usable slide, or no tile speaks for or against the predicted class." })]));

    const genes = patient.genes.toReversed();
    const bars = structuredClone(figures["patient-0"]);
    Object.assign(bars.data[0], { x: genes.map(([, value]) => value), y: genes.map(([gene]) => escaped(gene)) });
    bars.data[0].marker = { color: genes.map(([, value]) => (value > 0 ? "var(--orange)" : "var(--blue)")) };
    bars.layout.height = 90 + 21 * genes.length;
    control("-genes").hidden = !genes.length;
    if (genes.length) drawPlot(control("-genes"), bars);

    const crossed = patient.cross.length > 0;
    control("-cross-part").hidden = !crossed;
    const columns = patient.top.map((_, i) => `tile ${i + 1}`);
    if (crossed) {
      const map = structuredClone(figures["patient-1"]);
      const narrow = control("-cross").clientWidth < 600;
      const names = patient.tokens.map((token) => escaped(token).replaceAll(", ", narrow ? ",<br>" : ", "));
      Object.assign(map.data[0], { z: patient.cross, x: columns, y: names });
      map.layout.height = 130 + (narrow ? 54 : 24) * names.length;
      drawPlot(control("-cross"), map);
    }
    const percent = (value) => `${(100 * value).toFixed(1)} %`;
    control("-tables").replaceChildren(
      table(`Tiles of ${patient.patient}`, ["For or against", "Rank", "Slide", "From the left", "From the top", "Attribution"],
        tiles.map(([side, rank, tile]) => [side, rank, tile[0], ...(tile.length > 2 ? [percent(tile[1]), percent(tile[2])] : ["–", "–"]), signed(tile.at(-1))])),
      table(`Genes of ${patient.patient}`, ["Gene", "Attribution"], patient.genes.map(([gene, value]) => [gene, signed(value)])),
      ...(crossed ? [table(`Cross-attention of ${patient.patient}`, ["Gene token", ...columns],
        patient.cross.map((row, i) => [patient.tokens[i], ...row.map((value) => (value === null ? "–" : value.toFixed(3)))]))] : []));
  }

  const step = (by) => {
    const open = Array.from(choice.options).filter((option) => !option.hidden);
    if (!open.length) return;
    const at = open.indexOf(choice.selectedOptions[0]);
    choice.value = open[(at + by + open.length) % open.length].value;
    show();
  };
  choice.addEventListener("change", show);
  control("-previous").addEventListener("click", () => step(-1));
  control("-next").addEventListener("click", () => step(1));
  control("-wrong").addEventListener("change", (event) => {
    for (const option of choice.options) {
      const { called, true: label } = patients[Number(option.value)];
      option.hidden = option.disabled = event.target.checked && called === label;
    }
    if (choice.selectedOptions[0]?.hidden) step(1);
  });
  // Nothing is drawn before somebody comes near.
  browser.hidden = false;
  new IntersectionObserver((entries, watcher) => {
    if (entries.some((entry) => entry.isIntersecting)) { watcher.disconnect(); show(); }
  }, { rootMargin: "500px" }).observe(browser);
}
