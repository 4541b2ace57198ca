// Shared by the pages of all services: requests and the state of a panel, the token, predictions as text, and provenance.
"use strict";

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

let settings = { max_bytes: Infinity, unsure_below: 0.5 };
let token = "";
let tokenRequest = null;
const latest = {}; // number of the latest request of each panel; the response to an earlier one is discarded

// A panel is a prefix of four ids: empty, busy, problem and output. A page with one panel has no prefix.
async function send(path, request, render, panel = "") {
  const number = nextRequest(panel);
  showPart("busy", panel);
  try {
    const response = await post(path, request);
    if (number !== latest[panel]) return;
    render(response);
    showPart("output", panel);
  } catch (error) {
    if (number === latest[panel]) showProblem(error.message, panel);
  }
}

// Return the content of the service's response. Throws an Error with the reason and a remedy for people.
async function post(path, request) {
  for (;;) {
    const headers = { ...request.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(path, { method: "POST", ...request, headers }).catch(() => {
      throw new Error("The service does not respond. Is it still running? Try again in a moment.");
    });
    if (response.status === 401) {
      token = await requestToken(token !== "");
      continue;
    }
    const content = await response.json().catch(() => ({ error: `The service failed (status ${response.status}). Try again.` }));
    if (!response.ok) throw new Error(sentence(content.error));
    return content;
  }
}

// Return the token that a person types. The page keeps it until it is closed, and sends it to this service only.
function requestToken(rejected) {
  tokenRequest ||= new Promise((resolve, reject) => {
    const dialog = at("token-dialog");
    at("token-problem").hidden = !rejected;
    at("token").value = "";
    dialog.addEventListener("close", () => {
      tokenRequest = null;
      if (dialog.returnValue === "go") resolve(at("token").value);
      else reject(new Error("This service requires a token."));
    }, { once: true });
    dialog.returnValue = "";
    dialog.showModal();
  });
  return tokenRequest;
}

function nextRequest(panel) {
  latest[panel] = (latest[panel] || 0) + 1;
  return latest[panel];
}

function showProblem(message, panel = "") {
  nextRequest(panel);
  at(`${panel}problem`).textContent = message;
  showPart("problem", panel);
}

function showPart(part, panel = "") {
  for (const id of ["empty", "busy", "problem", "output"]) show(panel + id, id === part);
}

const isSure = (probability) => probability >= settings.unsure_below;
const shortLabel = ({ label, probability }) => (isSure(probability) ? label : `${label}?`);

function showLabel(prediction, digest) {
  at("label").textContent = shortLabel(prediction);
  at("label").classList.toggle("doubtful", !isSure(prediction.probability));
  show("doubt", !isSure(prediction.probability));
  at("digest").textContent = digest;
}

function bar({ label, probability }) {
  const item = document.createElement("li");
  const fill = element("div", "fill");
  fill.style.width = `${100 * probability}%`;
  const track = element("div", "track");
  track.append(fill);
  track.setAttribute("aria-hidden", "true"); // the percentage has the same information
  item.append(element("span", "name", label), element("span", "percent", percent(probability)), track);
  return item;
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

async function describeService() {
  settings = await (await fetch("service.json")).json();
  at("title").textContent = settings.title;
  const { commit, digests, bento, rebuild } = await (await fetch("provenance")).json();
  const rows = { Commit: commit, Data: digests.data, Lock: digests.lock, Model: digests.model, Bento: digests.bento, Version: bento, Rebuild: rebuild };
  at("provenance").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const definition = document.createElement("dd");
    definition.append(element("code", "", value || "unknown"));
    return [element("dt", "", name), definition];
  }));
}

const described = describeService().catch(() => {}); // the page works without limits and digests
