// The page for people: photos in, the likeliest classes out, and where the model looked. No library, nothing from elsewhere.
"use strict";

let photos = []; // each with its file, and its answer or its error once there is one
let shown = null;

// One photo is a question; several are a strip of them, asked one after the other, any of which can be looked at.
async function takeAll(files) {
  if (!files.length) return;
  const mine = files.map((file) => ({ file, answer: null, error: "" }));
  photos = mine;
  at("strip").replaceChildren(...(mine.length > 1 ? mine.map(tile) : []));
  show("strip", mine.length > 1);
  look(mine[0]);
  for (const photo of mine) {
    if (photos !== mine) return; // others were chosen meanwhile
    await label(photo);
    if (photos === mine) tell(photo);
  }
}

async function label(photo) {
  try {
    const excess = await tooBig(photo.file);
    if (excess) throw new Error(excess);
    photo.answer = await answered("predict?attention=true", { body: form(photo.file) });
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
  photo.button.setAttribute("aria-label", `${photo.file.name}: not answered yet`);
  photo.button.addEventListener("click", () => look(photo));
  const item = document.createElement("li");
  item.append(photo.button);
  return item;
}

function tell(photo) {
  if (photo.button) {
    photo.caption.textContent = photo.error ? "no answer" : guess(photo.answer);
    photo.button.setAttribute("aria-label", `${photo.file.name}: ${inWords(photo)}`);
  }
  if (photo === shown) look(photo, false);
}

// A question mark is seen, but not always read aloud.
function inWords({ answer, error }) {
  if (error) return "no answer";
  return sure(answer.probability) ? answer.label : `not sure, perhaps ${answer.label}`;
}

// Show a photo, with its answer if it is known.
function look(photo, other = true) {
  shown = photo;
  if (other) preview(photo.file);
  for (const each of photos) each.button?.setAttribute("aria-pressed", String(each === photo));
  hideHeat();
  if (photo.error) return complain(photo.error);
  if (!photo.answer) return state("busy", "");
  const { top5, model_digest, attention } = photo.answer;
  headline(photo.answer, model_digest);
  at("bars").replaceChildren(...top5.map(bar));
  show("look", Boolean(attention) && at("preview").naturalWidth > 0); // a browser shows fewer formats than the service reads
  return state("answer", "");
}

const PLACES = [["top left", "top", "top right"], ["left", "middle", "right"], ["bottom left", "bottom", "bottom right"]];

function hideHeat() {
  show("heat", false);
  show("looked", false);
  at("look").setAttribute("aria-pressed", "false");
}

// The shares of attention as a veil over the square that the model saw: the less it looked, the darker.
function showHeat(attention) {
  const most = Math.max(...attention.flat());
  const heat = at("heat");
  heat.width = heat.height = attention.length;
  const pixels = new ImageData(attention.length, attention.length);
  attention.flat().forEach((share, i) => pixels.data.set([20, 8, 24, Math.round(215 * (1 - share / most))], 4 * i));
  heat.getContext("2d").putImageData(pixels, 0, 0);
  const peak = attention.flat().indexOf(most);
  const third = (place) => Math.floor((3 * (place + 0.5)) / attention.length);
  at("looked").textContent = `The model looked most at the ${PLACES[third(Math.floor(peak / attention.length))][third(peak % attention.length)]} of the photo.`;
  show("looked");
  show("heat");
  placeHeat();
  at("look").setAttribute("aria-pressed", "true");
}

// Over the centre square of the photo, wherever the page has it now.
function placeHeat() {
  const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = at("preview");
  const edge = Math.min(offsetWidth, offsetHeight);
  Object.assign(at("heat").style, {
    left: `${offsetLeft + (offsetWidth - edge) / 2}px`, top: `${offsetTop + (offsetHeight - edge) / 2}px`, width: `${edge}px`, height: `${edge}px`,
  });
}

at("look").addEventListener("click", () => {
  if (at("heat").hidden) showHeat(shown.answer.attention);
  else hideHeat();
});
new ResizeObserver(placeHeat).observe(at("drop"));
listen(takeAll);
