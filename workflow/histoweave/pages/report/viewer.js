// The slide viewer: zoom and pan by wheel, pointer, buttons and keys; contours and attribution over the picture.
const viewer = document.getElementById("viewer");
if (viewer) {
  const control = (id) => document.getElementById(`viewer-${id}`);
  const stage = control("stage");
  const layers = stage.querySelector(".layers");
  const slides = readJson("slides");
  const frames = Array.from(document.querySelectorAll(".thumbnail .slide"));
  const [MOST, STEP_PX] = [24, 60];
  let [place, scale, least, x, y, size] = [0, 1, 1, 0, 0, { width: 1, height: 1 }];

  const apply = () => {
    const inside = (at, length, room) => {
      const slack = room - length * scale;
      return slack >= 0 ? slack / 2 : Math.min(0, Math.max(slack, at));
    };
    [x, y] = [inside(x, size.width, stage.clientWidth), inside(y, size.height, stage.clientHeight)];
    layers.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  };
  const fit = () => {
    least = scale = Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height);
    apply();
  };
  // Zoom by a factor; what is at (cx, cy) of the stage stays there.
  const zoom = (factor, cx = stage.clientWidth / 2, cy = stage.clientHeight / 2) => {
    const next = Math.min(MOST * least, Math.max(least, scale * factor));
    [x, y] = [cx - (cx - x) * (next / scale), cy - (cy - y) * (next / scale)];
    scale = next;
    apply();
  };
  const move = (dx, dy) => { x += dx; y += dy; apply(); };
  const dress = () => {
    layers.classList.toggle("bare", !control("contours").checked);
    const overlay = layers.querySelector(".overlay");
    if (overlay) overlay.style.opacity = control("overlay").checked ? control("opacity").value / 100 : 0;
  };
  const show = (next) => {
    place = (next + slides.length) % slides.length;
    const { slide, status, overlay } = slides[place];
    const picture = frames[place].querySelector("img");
    size = { width: Number(picture.getAttribute("width")), height: Number(picture.getAttribute("height")) };
    layers.replaceChildren(...Array.from(frames[place].children, (child) => child.cloneNode(true)));
    layers.style.width = `${size.width}px`;
    layers.style.height = `${size.height}px`;
    if (overlay) layers.append(Object.assign(new Image(), { src: overlay, alt: "", className: "overlay" }));
    control("title").textContent = status === "ok" ? slide : `${slide} (${status})`;
    const contours = layers.querySelector("svg") !== null;
    control("contours").disabled = !contours;
    control("overlay").disabled = control("opacity").disabled = !overlay;
    const says = [`Slide ${place + 1} of ${slides.length}.`];
    if (overlay) says.push("Attribution: orange tiles speak for the predicted class, blue tiles against it.");
    else says.push("No attribution is available for this slide.");
    control("says").textContent = says.join(" ");
    dress();
    fit();
  };

  const actions = {
    previous: () => show(place - 1), next: () => show(place + 1), in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit,
    close: () => viewer.close(),
  };
  const keys = {
    ArrowLeft: () => move(STEP_PX, 0), ArrowRight: () => move(-STEP_PX, 0), ArrowUp: () => move(0, STEP_PX),
    ArrowDown: () => move(0, -STEP_PX), "+": actions.in, "=": actions.in, "-": actions.out, 0: fit,
    PageUp: actions.previous, PageDown: actions.next,
  };
  viewer.addEventListener("click", (event) => actions[event.target.closest("[data-do]")?.dataset.do]?.());
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input") || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  // One pointer moves the slide, two spread or pinch it.
  const pointers = new Map();
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { cx: (a.x + b.x) / 2, cy: (a.y + b.y) / 2, far: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  stage.addEventListener("pointermove", (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const before = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (!before) { move(event.clientX - from.x, event.clientY - from.y); return; }
    const [after, box] = [spread(), stage.getBoundingClientRect()];
    zoom(after.far / before.far, after.cx - box.left, after.cy - box.top);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  for (const id of ["contours", "overlay", "opacity"]) control(id).addEventListener("input", dress);
  new ResizeObserver(() => { if (viewer.open) fit(); }).observe(stage);

  frames.forEach((frame, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "open-slide";
    button.setAttribute("aria-label", `Enlarge slide ${slides[i].slide}`);
    button.addEventListener("click", () => { viewer.showModal(); show(i); stage.focus(); });
    frame.append(button);
  });
}
