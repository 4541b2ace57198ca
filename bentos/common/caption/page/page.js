// The page of a service for photos and sentences: a photo in, sentences out; a sentence in, photos out. It needs no library.
"use strict";

const describe = sendPhotosTo("caption", ({ sentences, model_digest }) => {
  at("label").textContent = sentences[0].sentence;
  at("bars").replaceChildren(...sentences.map(({ sentence, score }) => bar({ label: sentence, probability: Math.exp(score) })));
  at("digest").textContent = model_digest;
});

function search(query) {
  const body = JSON.stringify({ sentence: query });
  send("search", { headers: { "Content-Type": "application/json" }, body }, ({ photos }) => {
    at("summary").textContent = `${photos.length} ${photos.length === 1 ? "photo" : "photos"} for “${query.trim()}”, the best first`;
    at("photos").replaceChildren(...photos.map(tile));
  }, "found-");
}

function tile({ id, score, captions, thumbnail }) {
  const image = element("img", "");
  image.src = thumbnail;
  image.alt = ""; // the caption beside it describes it
  const button = element("button", "tile");
  button.type = "button";
  button.title = "Describe this photo";
  button.append(image, element("span", "name", captions[0] || id), " ", element("span", "percent", score.toFixed(2)));
  button.addEventListener("click", () => {
    reveal("drop");
    takeFrom(thumbnail, id, ([photo]) => describe(photo));
  });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function reveal(id) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at(id).scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search(at("sentence").value);
});
at("similar").addEventListener("click", () => {
  at("sentence").value = at("label").textContent;
  at("form").requestSubmit();
  reveal("search");
});
