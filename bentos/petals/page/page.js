// The page for people: one photo in, the likeliest species out. No library, no storage, nothing from elsewhere.
"use strict";

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

let settings = { max_bytes: Infinity, unsure_below: 0.5 };
let question = 0; // the newest photo; an answer to an older one comes too late and is dropped

async function ask(photo) {
  const mine = ++question;
  preview(photo);
  state("busy");
  try {
    if (photo.size > settings.max_bytes) {
      throw new Error(`This photo has ${megabytes(photo.size)}; the limit is ${megabytes(settings.max_bytes)}. Make it smaller, then try again.`);
    }
    const form = new FormData();
    form.append("image", photo);
    const response = await fetch("predict", { method: "POST", body: form }).catch(() => {
      throw new Error("The service does not answer. Is it still running? Try again in a moment.");
    });
    const answer = await response.json().catch(() => ({ error: `The service failed (status ${response.status}). Try again.` }));
    if (mine !== question) return;
    if (!response.ok) throw new Error(sentence(answer.error));
    tell(answer);
  } catch (error) {
    if (mine !== question) return;
    at("problem").textContent = error.message;
    state("problem");
  }
}

function tell(answer) {
  const sure = answer.probability >= settings.unsure_below;
  at("label").textContent = sure ? answer.label : `${answer.label}?`;
  at("label").classList.toggle("doubtful", !sure);
  show("doubt", !sure);
  at("bars").replaceChildren(...answer.top5.map(bar));
  at("digest").textContent = answer.model_digest;
  state("answer");
}

function bar({ label, probability }) {
  const item = document.createElement("li");
  const fill = element("div", "fill");
  fill.style.width = `${100 * probability}%`;
  const track = element("div", "track");
  track.append(fill);
  track.setAttribute("aria-hidden", "true"); // the number beside it says the same
  item.append(element("span", "name", label), element("span", "percent", percent(probability)), track);
  return item;
}

function preview(photo) {
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(photo);
  at("preview").alt = `Your photo ${photo.name || ""}`.trim();
  for (const [id, shown] of [["preview", true], ["another", true], ["invitation", false]]) show(id, shown);
}

function state(current) {
  for (const id of ["empty", "busy", "problem", "answer"]) show(id, id === current);
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

async function introduce() {
  settings = await (await fetch("service.json")).json();
  at("title").textContent = settings.title;
  const { commit, digests, bento, rebuild } = await (await fetch("provenance")).json();
  const rows = { Commit: commit, Data: digests.data, Lock: digests.lock, Model: digests.model, Bento: digests.bento, Version: bento, "Build it again": rebuild };
  at("provenance").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const definition = document.createElement("dd");
    definition.append(element("code", "", value || "not known"));
    return [element("dt", "", name), definition];
  }));
}

at("photo").addEventListener("change", ({ target }) => {
  if (target.files[0]) ask(target.files[0]);
  target.value = ""; // the same file may be chosen again
});
at("drop").addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
at("drop").addEventListener("dragleave", () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) ask(event.clipboardData.files[0]);
});
at("preview").addEventListener("error", () => { show("preview", false); });
introduce().catch(() => {}); // the page works without: limits and digests are shown when they are known
