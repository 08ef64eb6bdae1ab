// Makes the report explorable: sorts and filters the gallery, cuts detections at a score, reads
// values off the charts. Without it the page shows everything. It fetches nothing, and text of
// others only ever becomes text.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");
const element = (parent, name, kind) => {
  const made = document.createElement(name);
  made.className = kind;
  return parent.appendChild(made);
};

// ---- gallery: layers, threshold, sort, filter

function explore(gallery) {
  const controls = gallery.querySelector(".controls");
  const thresholds = gallery.querySelector(".thresholds");
  const sliders = all("label", thresholds);
  const images = all(".image", gallery);
  const list = gallery.querySelector(".images");
  gallery.classList.add("explored");
  for (const form of [controls, thresholds]) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  const judge = () => {
    images.forEach((image) => describe(image, sliders.map((label) => label.dataset.model)));
    arrange(images, list, controls);
  };
  for (const slider of sliders) {
    slider.addEventListener("input", () => (cut(slider, gallery), judge()));
    cut(slider, gallery);
  }
  controls.addEventListener("change", () => {
    showLayers(gallery, controls);
    arrange(images, list, controls);
  });
  showLayers(gallery, controls);
  judge();
}

// Hide detections of a model below the chosen score, and say what that means for the whole split.
function cut(slider, gallery) {
  const { model, curve, people } = slider.dataset;
  const input = slider.querySelector("input");
  const [score, right, wrong] = JSON.parse(curve)[input.value];
  const said =
    `${score.toFixed(2)}: precision ${percent(right, right + wrong)}, recall ` +
    `${percent(right, +people)} (${right} of ${people} people found, ${wrong} false positives)`;
  slider.querySelector("output").textContent = said;
  input.setAttribute("aria-valuetext", said);
  for (const view of all(".view", gallery)) {
    if (view.dataset.model !== model) continue;
    for (const person of all(".person", view)) {
      person.classList.toggle("below", +person.dataset.score < score);
    }
  }
  for (const chart of all(".chart")) {
    if (chart.dataset.model === model) chart.dispatchEvent(new CustomEvent("choose", { detail: score }));
  }
}

// What became of the people in an image, by model; the first model's figures sort and filter.
function describe(image, models) {
  const caption = image.querySelector("figcaption");
  const people = +image.dataset.people;
  let counts = caption.querySelector(".counts");
  if (!counts) counts = element(caption, "span", "counts");
  const told = [`${people} labelled`];
  models.forEach((model, index) => {
    const view = all(".view", image).find((one) => one.dataset.model === model);
    if (!view) return;
    const [right, wrong] = ["right", "wrong"].map(
      (kind) => all(`.person.${kind}:not(.below)`, view).length
    );
    told.push(`${model}: ${right} right, ${wrong} false, ${people - right} missed`);
    if (index === 0) Object.assign(image.dataset, { wrong, missed: people - right });
  });
  counts.textContent = ` · ${told.join(" · ")}`;
}

function arrange(images, list, controls) {
  const [key, direction] = controls.elements.sort.value.split(" ");
  const [fact, sign, bound] = controls.elements.show.value.split(" ");
  const value = (image) => (key in image.dataset ? direction * image.dataset[key] : Infinity);
  const shown = (image) =>
    !fact || (sign === ">" ? image.dataset[fact] > +bound : +image.dataset[fact] === +bound);
  images.forEach((image) => (image.hidden = !shown(image)));
  const sorted = [...images].sort((a, b) => value(a) - value(b) || 0);
  if (sorted.some((image, place) => image !== list.children[place])) list.append(...sorted);
  const count = images.filter((image) => !image.hidden).length;
  controls.querySelector("[role=status]").textContent = `${count} of ${images.length} images`;
}

function showLayers(gallery, controls) {
  const boxes = all("[name=layer]", controls);
  gallery.classList.toggle("beside", controls.elements.beside.checked);
  gallery.classList.toggle("dim", boxes.some((box) => "map" in box.dataset && box.checked));
  for (const box of boxes) {
    for (const view of all(".view", gallery)) {
      if (view.dataset.layer === box.value) view.classList.toggle("off", !box.checked);
    }
  }
}

// ---- charts: what lies under the pointer, or under a place chosen by arrow keys

function follow(figure, number) {
  const chart = JSON.parse(figure.dataset.readout);
  const plot = figure.querySelector(".plot");
  const places = [...new Set(chart.series.flatMap((one) => one.at))].sort((a, b) => a - b);
  const readout = document.createElement("p");
  readout.className = "readout hint";
  if (number === 0) readout.textContent = "Point at a chart, or choose it and press arrow keys, to read values.";
  figure.append(readout);
  plot.tabIndex = 0;
  plot.setAttribute("role", "slider");
  plot.setAttribute("aria-valuemin", 0);
  plot.setAttribute("aria-valuemax", places.length - 1);
  let chosen = 0;
  const choose = (place) => {
    chosen = Math.min(Math.max(place, 0), places.length - 1);
    const words = tell(chart, places[chosen], readout);
    plot.setAttribute("aria-valuenow", chosen);
    plot.setAttribute("aria-valuetext", words);
    line(plot, chart, places[chosen], "hair");
  };
  plot.setAttribute("aria-valuenow", 0);
  plot.addEventListener("pointermove", (event) => choose(nearest(places, under(event, plot, chart))));
  plot.addEventListener("pointerdown", (event) => choose(nearest(places, under(event, plot, chart))));
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    const ends = { Home: 0, End: places.length - 1 };
    if (event.key in steps) choose(chosen + steps[event.key]);
    else if (event.key in ends) choose(ends[event.key]);
    else return;
    event.preventDefault();
  });
  figure.addEventListener("choose", (event) => line(plot, chart, event.detail, "chosen"));
}

function nearest(places, value) {
  let best = 0;
  places.forEach((place, index) => {
    if (Math.abs(place - value) < Math.abs(places[best] - value)) best = index;
  });
  return best;
}

// The value on the chart's axis under the pointer.
function under(event, plot, { box, along, range }) {
  const area = plot.getBoundingClientRect();
  const share = along === "x" ? (event.clientX - area.left) / area.width : (event.clientY - area.top) / area.height;
  const [start, end] = along === "x" ? [box[0], box[2]] : [box[1], box[3]];
  return range[0] + ((share - start) / (end - start)) * (range[1] - range[0]);
}

// Write the values of all series at a place; returns the words.
function tell(chart, place, readout) {
  const ticks = Object.keys(chart.names);
  const name = ticks.length
    ? chart.names[ticks[nearest(ticks.map(Number), place)]]
    : `${chart.label} ${place}`;
  readout.textContent = name;
  readout.classList.remove("hint");
  const words = [name];
  for (const { name: series, colour, at, values } of chart.series) {
    const index = nearest(at, place);
    if (!at.length || (!ticks.length && Math.abs(at[index] - place) > 1e-6)) continue;
    element(readout, "i", "").style.background = colour;
    readout.append(`${series}: ${values[index]}`);
    words.push(`${series}: ${values[index]}`);
  }
  return words.join(", ");
}

// Draw or move a line across the chart at a place of its axis.
function line(plot, { box, along, range }, place, kind) {
  const svg = plot.querySelector("svg");
  const { width, height } = svg.viewBox.baseVal;
  const share = Math.min(Math.max((place - range[0]) / (range[1] - range[0]), 0), 1);
  const [left, top, right, bottom] = [box[0] * width, box[1] * height, box[2] * width, box[3] * height];
  const x = left + share * (right - left);
  const y = top + share * (bottom - top);
  const ends = along === "x" ? { x1: x, x2: x, y1: top, y2: bottom } : { x1: left, x2: right, y1: y, y2: y };
  let drawn = svg.querySelector(`.${kind}`);
  if (!drawn) {
    drawn = svg.appendChild(document.createElementNS(svg.namespaceURI, "line"));
    drawn.classList.add(kind);
  }
  for (const [name, value] of Object.entries(ends)) drawn.setAttribute(name, value);
}

all(".chart[data-readout]").forEach(follow);
all(".explore").forEach(explore);
