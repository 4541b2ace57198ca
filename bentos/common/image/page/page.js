// The page of a service for photos: photos in, the likeliest classes and an attention map out. It needs no library.
"use strict";

let photos = []; // each with its file, and with its prediction or error after the response
let shown = null;

// Send the photos one after the other. Several are a strip of tiles, each of which shows its photo.
async function takeAll(files) {
  if (!files.length) return;
  const taken = files.map((file) => ({ file, prediction: null, error: "" }));
  photos = taken;
  at("strip").replaceChildren(...(taken.length > 1 ? taken.map(tile) : []));
  show("strip", taken.length > 1);
  select(taken[0]);
  for (const photo of taken) {
    if (photos !== taken) return; // other photos replace these
    await predict(photo);
    if (photos === taken) showResult(photo);
  }
}

async function predict(photo) {
  try {
    const excess = await sizeProblem(photo.file);
    if (excess) throw new Error(excess);
    photo.prediction = await post("predict?attention=true", { body: form(photo.file) });
  } catch (error) {
    photo.error = error.message;
  }
}

function tile(photo) {
  const image = element("img", "");
  image.src = URL.createObjectURL(photo.file);
  image.alt = "";
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => { URL.revokeObjectURL(image.src); image.removeAttribute("src"); });
  photo.button = element("button", "tile");
  photo.button.type = "button";
  photo.caption = element("span", "name", "…");
  photo.button.append(image, photo.caption);
  photo.button.setAttribute("aria-label", `${photo.file.name}: no prediction yet`);
  photo.button.addEventListener("click", () => select(photo));
  const item = document.createElement("li");
  item.append(photo.button);
  return item;
}

function showResult(photo) {
  if (photo.button) {
    photo.caption.textContent = photo.error ? "no prediction" : shortLabel(photo.prediction);
    photo.button.setAttribute("aria-label", `${photo.file.name}: ${spoken(photo)}`);
  }
  if (photo === shown) select(photo, false);
}

// For screen readers, which may skip a question mark.
function spoken({ prediction, error }) {
  if (error) return "no prediction";
  if (prediction.known === false) return `nothing I know, perhaps ${prediction.label}`;
  return isSure(prediction.probability) ? prediction.label : `not sure, perhaps ${prediction.label}`;
}

// Show a photo, and its prediction after the response.
function select(photo, other = true) {
  shown = photo;
  if (other) preview(photo.file);
  for (const each of photos) each.button?.setAttribute("aria-pressed", String(each === photo));
  hideMap();
  if (photo.error) return showProblem(photo.error);
  if (!photo.prediction) return showPart("busy");
  const { top5, model_digest, attention, known } = photo.prediction;
  showLabel(photo.prediction, model_digest);
  show("stranger", known === false);
  if (known === false) show("doubt", false);
  at("bars").replaceChildren(...top5.map(bar));
  show("attention", Boolean(attention) && at("preview").naturalWidth > 0); // a browser decodes fewer formats than the service
  return showPart("output");
}

const REGIONS = [["top left", "top", "top right"], ["left", "middle", "right"], ["bottom left", "bottom", "bottom right"]];

function hideMap() {
  show("heat", false);
  show("peak", false);
  at("attention").setAttribute("aria-pressed", "false");
}

// Draw the attention map over the square that the model receives: the lower the attention, the darker.
function showMap(attention) {
  const most = Math.max(...attention.flat());
  const heat = at("heat");
  heat.width = heat.height = attention.length;
  const pixels = new ImageData(attention.length, attention.length);
  attention.flat().forEach((value, i) => pixels.data.set([20, 8, 24, Math.round(215 * (1 - value / most))], 4 * i));
  heat.getContext("2d").putImageData(pixels, 0, 0);
  const peak = attention.flat().indexOf(most);
  const third = (patch) => Math.floor((3 * (patch + 0.5)) / attention.length);
  const region = REGIONS[third(Math.floor(peak / attention.length))][third(peak % attention.length)];
  at("peak").textContent = `The attention is highest at the ${region} of the photo.`;
  show("peak");
  show("heat");
  placeMap();
  at("attention").setAttribute("aria-pressed", "true");
}

// Align the map with the centre square of the photo.
function placeMap() {
  const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = at("preview");
  const edge = Math.min(offsetWidth, offsetHeight);
  Object.assign(at("heat").style, {
    left: `${offsetLeft + (offsetWidth - edge) / 2}px`, top: `${offsetTop + (offsetHeight - edge) / 2}px`, width: `${edge}px`, height: `${edge}px`,
  });
}

at("attention").addEventListener("click", () => {
  if (at("heat").hidden) showMap(shown.prediction.attention);
  else hideMap();
});
new ResizeObserver(placeMap).observe(at("drop"));
listen(takeAll);
