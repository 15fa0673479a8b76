// What one sees and does on the page. The images come from layers.js, which runs in a worker.
//
// A latent vector is a Float32Array: standard normal numbers, then one for each class, of which that of the class
// is 1 and the others are 0.
"use strict";

const page = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const SIDE = 28; // pixels
const SHEET = 5; // images in a row
const COUNT = SHEET * SHEET;
const SEEDS = 2 ** 32;
const CORNERS = [0, 7, 13, 18]; // of the sheet, at first: of ten classes in turns, four that look different
const latentSize = page.inputSize - page.classNames.length;

const state = {
  seed: page.seed,
  classes: new Set(page.classes),
  file: page.epochs.length - 1,
  sheet: [], // the latent vectors of the images
  selected: 0,
  vector: null, // that of the enlarged image
  corners: CORNERS.map(() => null), // those that were put there
  place: [0.5, 0.5],
};

// Elements.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function imageButton(canvas) {
  return make("button", { type: "button" }, canvas);
}

const newCanvas = () => make("canvas", { width: SIDE, height: SIDE, "aria-hidden": true });

// Latent vectors.

/** Standard normal numbers: uniform ones by the generator mulberry32, made normal by Box and Muller's transform. */
function* normalNumbers(seed) {
  let counter = seed >>> 0;
  const uniform = () => {
    counter = (counter + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(counter ^ (counter >>> 15), counter | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / SEEDS;
  };
  while (true) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    yield radius * Math.cos(angle);
    yield radius * Math.sin(angle);
  }
}

/** The classes to draw, in turns; none where the generator knows none. */
function turns() {
  return page.classNames.map((_, number) => number).filter((n) => state.classes.size === 0 || state.classes.has(n));
}

function sheetVectors() {
  const numbers = normalNumbers(state.seed), classes = turns();
  return Array.from({ length: COUNT }, (_, index) => {
    const vector = Float32Array.from({ length: page.inputSize }, (_, i) => (i < latentSize ? numbers.next().value : 0));
    if (classes.length) vector[latentSize + classes[index % classes.length]] = 1;
    return vector;
  });
}

/** The class of a vector that is of one class alone or most. */
function classOf(vector) {
  const shares = vector.subarray(latentSize);
  return shares.indexOf(Math.max(...shares));
}

/** What is said of an image in front of its name, and its class where it has one. */
function labelled(label, vector) {
  const name = page.classNames[classOf(vector)];
  return name === undefined ? label : `${label}: ${name}`;
}

/** Mixes vectors with weights whose squares add up to 1: then standard normal numbers are mixed to such again. */
function mix(vectors, weights) {
  return vectors[0].map((_, i) => vectors.reduce(
    (sum, vector, n) => sum + vector[i] * (i < latentSize ? weights[n] : weights[n] ** 2), 0));
}

/** The vector at a place in the plane: from left to right and from top to bottom as on a walk. */
function vectorAt([x, y]) {
  const [right, down] = [(x * Math.PI) / 2, (y * Math.PI) / 2];
  return mix(corners(), [
    Math.cos(right) * Math.cos(down), Math.sin(right) * Math.cos(down),
    Math.cos(right) * Math.sin(down), Math.sin(right) * Math.sin(down),
  ]);
}

const corners = () => state.corners.map((vector, n) => vector ?? state.sheet[CORNERS[n]]);

// Drawing: one image at a time, so that what is no longer wanted is not computed.

const worker = new Worker(URL.createObjectURL(new Blob([find("layers").textContent], { type: "text/javascript" })));
const waiting = new Map(); // by where it is to appear: what is asked for anew takes the place of what was
const loaded = new Set();
let drawing = null;
let milliseconds = null; // of an image, lately

function ask(where, vector, canvas, { urgent = false, x = 0, y = 0 } = {}) {
  waiting.set(where, { file: state.file, vector, canvas, urgent, x, y });
  document.body.dataset.drawn = "no";
  next();
}

function next() {
  if (drawing) return;
  if (waiting.size === 0) {
    document.body.dataset.drawn = "yes";
    find("made-of").lastChild.textContent = ` An image takes ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms here.`;
    return;
  }
  const entries = [...waiting];
  const [where, job] = entries.find(([, { urgent }]) => urgent) ?? entries[0];
  waiting.delete(where);
  drawing = job;
  const { file, vector } = job;
  if (!loaded.has(file)) {
    worker.postMessage({ file, generator: page.generator, weights: find(`weights-${file}`).textContent });
    loaded.add(file);
  }
  worker.postMessage({ file, vector });
}

worker.onmessage = ({ data: { image, milliseconds: taken } }) => {
  milliseconds = milliseconds === null ? taken : 0.8 * milliseconds + 0.2 * taken;
  const pixels = new ImageData(SIDE, SIDE);
  image.forEach((value, i) => pixels.data.fill(Math.round(255 * value), 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4));
  drawing.canvas.getContext("2d").putImageData(pixels, drawing.x, drawing.y);
  drawing = null;
  next();
};

worker.onerror = () => say("The images cannot be computed in this browser.");

// Saving.

function save(canvas, name) {
  const large = make("canvas", { width: 10 * canvas.width, height: 10 * canvas.height });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  large.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: `${name}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`Saved as ${name}.png.`);
  });
}

function wholeSheet() {
  const step = SIDE + 2;
  const whole = make("canvas", { width: SHEET * step - 2, height: SHEET * step - 2 });
  tiles.forEach(({ firstChild: canvas }, n) =>
    whole.getContext("2d").drawImage(canvas, (n % SHEET) * step, Math.floor(n / SHEET) * step));
  return whole;
}

const inFileName = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");

function say(text) {
  find("status").textContent = text;
}

// The sheet.

const tiles = Array.from({ length: COUNT }, (_, index) => {
  const button = imageButton(newCanvas());
  button.addEventListener("click", () => select(index, true));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SHEET, ArrowDown: SHEET }[event.key];
    if (!step || !tiles[index + step]) return;
    event.preventDefault();
    tiles[index + step].focus();
    select(index + step);
  });
  find("sheet").append(button);
  return button;
});

function select(index, show = false) {
  state.selected = index;
  tiles.forEach((tile, n) => {
    tile.setAttribute("aria-pressed", n === index);
    tile.tabIndex = n === index ? 0 : -1;
  });
  state.vector = state.sheet[index].slice();
  const number = classOf(state.vector);
  for (const id of ["from", "to"]) find(id).value = number;
  find("blend").value = 0;
  if (number >= 0 && page.classNames.length > 1) find("to").value = (number + 1) % page.classNames.length;
  showEnlarged();
  if (!show) return;
  find("enlarged").scrollIntoView({ block: "nearest" });
  say(`${describeEnlarged()} is enlarged.`);
}

// The enlarged image.

const sliders = page.sliders.map((number) => {
  const output = make("output");
  const input = make("input", {
    type: "range", min: -4, max: 4, step: 0.1, autocomplete: "off", "aria-label": `Latent number ${number + 1}`,
  });
  input.addEventListener("input", () => {
    state.vector[number] = Number(input.value);
    showEnlarged();
  });
  find("numbers").append(make("div", { class: "number" }, make("span", {}, `${number + 1}`), input, output));
  return { number, input, output };
});

function blendClasses() {
  const share = Number(find("blend").value) / 100;
  state.vector.fill(0, latentSize);
  state.vector[latentSize + Number(find("from").value)] += 1 - share;
  state.vector[latentSize + Number(find("to").value)] += share;
  showEnlarged();
}

function showEnlarged() {
  const said = describeEnlarged();
  find("enlarged").setAttribute("aria-label", said);
  find("enlarged-title").textContent = said;
  find("blend").setAttribute("aria-valuetext", `${find("blend").value} %`);
  for (const { number, input, output } of sliders) {
    input.value = state.vector[number];
    output.textContent = state.vector[number].toFixed(1).replace("-", "−");
  }
  ask("enlarged", state.vector.slice(), find("enlarged"), { urgent: true });
}

function describeEnlarged() {
  const label = `Image ${state.selected + 1}`, share = Number(find("blend").value);
  const [first, second] = ["from", "to"].map((id) => page.classNames[Number(find(id).value)]);
  if (share % 100 === 0 || first === second) return labelled(label, state.vector);
  return `${label}: ${100 - share} % ${first}, ${share} % ${second}`;
}

// The plane.

const cornerButtons = CORNERS.map((_, n) => {
  const button = imageButton(newCanvas());
  button.addEventListener("click", () => {
    state.corners[n] = state.vector.slice();
    showPlane();
    say(`${describeEnlarged()} is now the ${cornerName(n)} corner.`);
  });
  find("corners").append(button);
  return button;
});

const cornerName = (n) => `${n < 2 ? "top" : "bottom"} ${n % 2 ? "right" : "left"}`;

function showPlane() {
  corners().forEach((vector, n) => {
    const label = labelled(`Corner at the ${cornerName(n)}`, vector);
    cornerButtons[n].setAttribute("aria-label", `${label}. Put the enlarged image here`);
    ask(`corner ${n}`, vector, cornerButtons[n].firstChild);
  });
  for (let n = 0; n < COUNT; n++) {
    const column = n % SHEET, row = Math.floor(n / SHEET);
    const vector = vectorAt([column / (SHEET - 1), row / (SHEET - 1)]);
    ask(`map ${n}`, vector, find("map"), { x: SIDE * column, y: SIDE * row });
  }
  showPlace();
}

function showPlace() {
  const [x, y] = state.place;
  // A corner's place is the middle of the image there.
  const position = (share) => `${(100 * (0.5 + share * (SHEET - 1))) / SHEET}%`;
  find("handle").style.left = position(x);
  find("handle").style.top = position(y);
  find("plane").setAttribute("aria-valuenow", Math.round(100 * x));
  find("plane").setAttribute("aria-valuetext", `${Math.round(100 * x)} % right, ${Math.round(100 * y)} % down`);
  ask("here", vectorAt(state.place), find("here"), { urgent: true });
}

function moveTo(x, y) {
  state.place = [x, y].map((share) => Math.min(Math.max(share, 0), 1));
  showPlace();
}

function drag(event) {
  if (event.buttons !== 1) return;
  const { left, top, width, height } = find("plane").getBoundingClientRect();
  const share = (at, size) => ((at / size) * SHEET - 0.5) / (SHEET - 1);
  moveTo(share(event.clientX - left, width), share(event.clientY - top, height));
}

find("plane").addEventListener("pointerdown", (event) => {
  event.currentTarget.setPointerCapture(event.pointerId);
  drag(event);
});
find("plane").addEventListener("pointermove", drag);
find("plane").addEventListener("keydown", (event) => {
  const [x, y] = state.place, step = event.shiftKey ? 0.25 : 0.05;
  const places = {
    ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step],
    Home: [0, y], End: [1, y], PageUp: [x, 0], PageDown: [x, 1],
  };
  if (!places[event.key]) return;
  event.preventDefault();
  moveTo(...places[event.key]);
});

// The losses.

function showLosses() {
  const width = 560, height = 230, left = 46, bottom = 28, top = 10;
  const values = page.losses.flatMap(([, ...both]) => both);
  const [low, high] = [Math.min(0, ...values), Math.max(...values)];
  const [first, last] = [page.losses[0][0], page.losses.at(-1)[0]];
  const x = (epoch) => left + ((width - left - 8) * (epoch - first)) / (last - first || 1);
  const y = (loss) => top + ((height - top - bottom) * (high - loss)) / (high - low || 1);
  const svg = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const ends = (n) => `${page.losses[0][n].toPrecision(3)} at first, ${page.losses.at(-1)[n].toPrecision(3)} at last`;
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Losses from epoch ${first} to ${last}. Discriminator: ${ends(1)}. Generator: ${ends(2)}.`,
  });
  for (const loss of [low, (low + high) / 2, high]) {
    chart.append(svg("line", { class: "grid", x1: left, x2: width - 8, y1: y(loss), y2: y(loss) }));
    chart.append(svg("text", { x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, loss.toPrecision(2)));
  }
  chart.append(svg("text", { x: left, y: height - 6 }, `epoch ${first}`));
  if (last > first) {
    chart.append(svg("text", { x: width - 8, y: height - 6, "text-anchor": "end" }, `epoch ${last}`));
  }
  ["discriminator", "generator"].forEach((network, n) => {
    const points = page.losses.map((entry) => `${x(entry[0]).toFixed(1)},${y(entry[n + 1]).toFixed(1)}`);
    chart.append(svg("polyline", { class: `curve ${network}`, points: points.join(" ") }));
    if (points.length === 1) {  // Of which there is no line.
      const [cx, cy] = points[0].split(",");
      chart.append(svg("circle", { class: `curve ${network}`, cx, cy, r: 4 }));
    }
  });
  const epoch = Math.min(Math.max(page.epochs[state.file], first), last);
  chart.append(svg("line", { class: "now", x1: x(epoch), x2: x(epoch), y1: top, y2: height - bottom }));
  find("losses").replaceChildren(chart);
}

find("losses-details").addEventListener("toggle", () => {
  const row = (tag, cells) => make("tr", {}, ...cells.map((text) => make(tag, {}, text)));
  const rows = page.losses.map(([epoch, ...both]) => row("td", [`${epoch}`, ...both.map((loss) => loss.toPrecision(4))]));
  find("losses-table").replaceChildren(make("table", {}, row("th", ["epoch", "discriminator", "generator"]), ...rows));
});

// What is asked for above all: classes, seed, epoch.

function showSheet() {
  state.sheet = sheetVectors();
  tiles.forEach((tile, n) => {
    tile.setAttribute("aria-label", labelled(`Image ${n + 1}`, state.sheet[n]));
    ask(`sheet ${n}`, state.sheet[n], tile.firstChild);
  });
}

function redraw() {
  showSheet();
  select(state.selected);
  showPlane();
}

function sow(seed) {
  state.seed = seed;
  find("seed").value = seed;
  redraw();
  say(`25 images of seed ${seed}.`);
}

function showEpoch() {
  const said = `${page.epochs[state.file]}`;
  find("epoch-said").textContent = said;
  find("epoch").setAttribute("aria-valuetext", `epoch ${said}`);
  if (page.losses.length) showLosses();
}

find("new-seed").addEventListener("click", () => sow(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000));
find("seed").addEventListener("change", ({ target }) => {
  const seed = target.valueAsNumber;
  if (Number.isInteger(seed) && seed >= 0 && seed < SEEDS) sow(seed);
  else {
    target.value = state.seed;
    say(`A seed is a whole number from 0 to ${SEEDS - 1}.`);
  }
});
find("epoch").addEventListener("input", ({ target }) => {
  state.file = Number(target.value);
  showEpoch();
  showSheet();
  showEnlarged();
  showPlane();
});
find("controls").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["from", "to", "blend"]) find(id).addEventListener("input", blendClasses);
find("reset").addEventListener("click", () => select(state.selected));
find("save-image").addEventListener("click", () =>
  save(find("enlarged"), inFileName(labelled(`seed ${state.seed} image ${state.selected + 1}`, state.vector))));
find("save-sheet").addEventListener("click", () => save(wholeSheet(), `images-seed-${state.seed}`));
find("save-here").addEventListener("click", () => save(find("here"), "between-four-images"));

// The page as it begins.

page.classNames.forEach((name, number) => {
  const chip = make("button", { type: "button", "aria-pressed": state.classes.has(number) }, name);
  chip.addEventListener("click", () => {
    if (!state.classes.delete(number)) state.classes.add(number);
    chip.setAttribute("aria-pressed", state.classes.has(number));
    redraw();
  });
  find("classes").append(chip);
  for (const id of ["from", "to"]) find(id).append(make("option", { value: number }, name));
});
const classed = page.classNames.length > 0;
find("classes-field").hidden = find("blend-field").hidden = !classed;
find("epoch-field").hidden = page.epochs.length < 2;
find("epoch").max = page.epochs.length - 1;
find("epoch").value = state.file;
find("losses-section").hidden = page.losses.length === 0;
find("lead").textContent =
  "Every image here is drawn in your browser, at this moment, by a small neural network: the generator of a GAN, " +
  `which has learned to draw from examples. It takes a latent vector, ${latentSize} random numbers` +
  `${classed ? ", and a class" : ""}, and makes an image of it. Other numbers, another image; and numbers that are ` +
  "near to each other make images that look alike.";
find("numbers-hint").textContent =
  `Of ${latentSize} numbers these are the ${page.sliders.length} to which the generator’s first layer gives most ` +
  "weight. What one of them changes, nobody has told the generator: it came about as it learned.";
const epochs = page.epochs.at(-1);
const trained = epochs ? `, which came about in ${epochs} epoch${epochs > 1 ? "s" : ""} of training` : "";
find("made-of").append(
  `The generator has ${page.parameters.toLocaleString("en")} numbers${trained}; they are in this ` +
    "page, which loads nothing and sends nothing.", "");
find("seed").value = state.seed;
showEpoch();
redraw();
