// The live part of the page "In the browser": a picture of clothes, drawn or chosen, and what the
// network says. Beside this file the build puts larqlite-runtime-web, the network and live.json.
import { isSupported, load } from "./index.js";

const SIDE = 28; // pixels of a picture, each way
const DRAWN = 280; // of the canvas
const COARSE = 70; // of the drawing when closed outlines are filled
const STROKE = 20, INK = 225, FILLING = 165, THRESHOLD = 60;
const TIMED = 31; // pictures, of which the shown time is the median

const address = (name) => new URL(name, import.meta.url);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function canvasOf(side, attributes = {}) {
  const made = element("canvas", { width: side, height: side, ...attributes });
  return [made, made.getContext("2d", { willReadFrequently: true })];
}

function show(context, grey) {
  const image = context.createImageData(SIDE, SIDE);
  grey.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

// What a drawing is as a picture of the data set: outlines filled, as large as fits, in the middle.
class Drawing {
  constructor(canvas, context) {
    this.canvas = canvas;
    this.context = context;
    [this.coarse, this.coarseContext] = canvasOf(COARSE);
    [this.fine, this.fineContext] = canvasOf(SIDE);
    this.clear();
  }

  clear() {
    this.context.fillStyle = "black";
    this.context.fillRect(0, 0, DRAWN, DRAWN);
  }

  line(from, to) {
    Object.assign(this.context, { lineWidth: STROKE, lineCap: "round" });
    this.context.strokeStyle = `rgb(${INK}, ${INK}, ${INK})`;
    this.context.beginPath();
    this.context.moveTo(...from);
    this.context.lineTo(...to);
    this.context.stroke();
  }

  // 28 x 28 values, or null if there is nothing.
  pixels() {
    this.coarseContext.drawImage(this.canvas, 0, 0, COARSE, COARSE);
    const image = this.coarseContext.getImageData(0, 0, COARSE, COARSE);
    const isInk = (at) => image.data[4 * at] >= THRESHOLD;
    const outside = reachable(isInk);
    const box = { left: COARSE, top: COARSE, right: -1, bottom: -1 };
    for (let at = 0; at < COARSE * COARSE; ++at) {
      if (outside[at]) continue;
      if (!isInk(at)) image.data.fill(FILLING, 4 * at, 4 * at + 3);
      const x = at % COARSE, y = Math.floor(at / COARSE);
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
    }
    if (box.right < 0) return null;
    this.coarseContext.putImageData(image, 0, 0);
    const width = box.right - box.left + 1, height = box.bottom - box.top + 1;
    const scale = SIDE / Math.max(width, height);
    const to = [width * scale, height * scale];
    this.fineContext.fillStyle = "black";
    this.fineContext.fillRect(0, 0, SIDE, SIDE);
    this.fineContext.imageSmoothingQuality = "high";
    this.fineContext.drawImage(this.coarse, box.left, box.top, width, height,
      (SIDE - to[0]) / 2, (SIDE - to[1]) / 2, ...to);
    const { data } = this.fineContext.getImageData(0, 0, SIDE, SIDE);
    return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => data[4 * i]);
  }
}

// Which places of the coarse drawing can be reached from its border without crossing ink.
function reachable(isInk) {
  const found = new Uint8Array(COARSE * COARSE), waiting = [];
  const visit = (x, y) => {
    const at = y * COARSE + x;
    if (x < 0 || y < 0 || x >= COARSE || y >= COARSE || found[at] || isInk(at)) return;
    found[at] = 1;
    waiting.push([x, y]);
  };
  for (let i = 0; i < COARSE; ++i) for (const end of [0, COARSE - 1]) visit(i, end), visit(end, i);
  while (waiting.length) {
    const [x, y] = waiting.pop();
    visit(x - 1, y), visit(x + 1, y), visit(x, y - 1), visit(x, y + 1);
  }
  return found;
}

function start(place, about, model) {
  const [canvas, context] = canvasOf(DRAWN, {
    class: "live-canvas",
    role: "img",
    "aria-label": "Draw a garment here, light on dark",
  });
  const [seen, seenContext] = canvasOf(SIDE, { class: "live-seen", role: "img", "aria-label": "What the network sees" });
  const clear = element("button", { type: "button" }, "Clear");
  const label = element("strong", { class: "live-label", "aria-live": "polite" });
  const note = element("p", { class: "live-note" });
  const bars = about.classes.map((name) => {
    const length = element("span"), percent = element("span", { class: "live-percent" });
    const row = element("li", {}, element("span", {}, name), element("span", { class: "live-track" }, length), percent);
    return { row, length, percent };
  });
  const drawing = new Drawing(canvas, context);
  const values = new Float32Array(SIDE * SIDE);

  function forget() {
    drawing.clear();
    seenContext.clearRect(0, 0, SIDE, SIDE);
    label.textContent = "";
    note.textContent = "Draw a T-shirt, trousers, a bag, a shoe: an outline is filled.";
    for (const { row, length, percent } of bars) {
      row.className = "";
      length.style.width = "0";
      percent.textContent = "";
    }
  }

  function answer(pixels, truth) {
    pixels.forEach((value, i) => (values[i] = value / 127.5 - 1));
    const likely = model.run(values);
    const best = likely.indexOf(Math.max(...likely));
    label.textContent = about.classes[best];
    bars.forEach(({ row, length, percent }, i) => {
      row.className = i === best ? "best" : "";
      length.style.width = `${100 * likely[i]}%`;
      percent.textContent = `${Math.round(100 * likely[i])} %`;
    });
    show(seenContext, pixels);
    note.textContent = truth === undefined ? "" : `In the data set: ${about.classes[truth]}. `;
  }

  function time() {
    const times = Array.from({ length: TIMED }, () => {
      const begin = performance.now();
      model.run(values);
      return performance.now() - begin;
    });
    const taken = times.sort((a, b) => a - b)[(TIMED - 1) / 2];
    note.append(element("span", { class: "live-time" }, `${taken.toFixed(1)} ms`),
      ` a picture, on one thread of this machine: ${about.megaproducts} million products, of bits.`);
  }

  const choices = about.pictures.map(({ label: truth, pixels }) => {
    const grey = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
    const [small, smallContext] = canvasOf(SIDE);
    show(smallContext, grey);
    const name = about.classes[truth];
    const choice = element("button", { type: "button", title: name, "aria-label": `Test picture: ${name}`, "data-label": name }, small);
    choice.addEventListener("click", () => {
      drawing.clear();
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, DRAWN, DRAWN);
      isPicture = true;
      answer(grey, truth);
      time();
    });
    return choice;
  });

  let last = null, isPicture = false, isWaiting = false;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * DRAWN) / box.width, ((event.clientY - box.top) * DRAWN) / box.height];
  };
  const look = (isOver) => {
    const pixels = drawing.pixels();
    if (!pixels) return;
    answer(pixels);
    if (isOver) time();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (isPicture) forget();
    isPicture = false;
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    drawing.line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = at(event);
    drawing.line(last, next);
    last = next;
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      if (last) look(false);
    });
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      if (!last) return;
      last = null;
      look(true);
    });
  clear.addEventListener("click", forget);

  place.replaceChildren(
    element("div", { class: "live-left" }, canvas,
      element("div", { class: "live-tools" }, clear, element("span", {}, "It sees"), seen)),
    element("div", { class: "live-right" }, label, element("ol", { class: "live-bars" }, ...bars.map(({ row }) => row)), note),
    element("div", { class: "live-pictures" }, ...choices),
  );
  forget();
  choices[0].click();
}

const place = document.getElementById("live");
const tell = (text) => {
  place.replaceChildren(element("p", { class: "live-message", role: "alert" }, text));
  place.dataset.state = "failed";
};
if (!isSupported()) {
  tell("This browser's WebAssembly has no vectors (SIMD), which the kernels need: Chrome and Edge have them " +
    "from 91 on, Firefox from 89, Safari from 16.4.");
} else {
  try {
    const [about, model] = await Promise.all([
      fetch(address("live.json")).then((response) => response.json()),
      load(address("clothes.lqflat")),
    ]);
    start(place, about, model);
    place.dataset.state = "ready";
  } catch (error) {
    tell(`The network did not load: ${error.message}`);
  }
}
