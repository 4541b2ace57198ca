// What the pages of all services share: a panel's one question at a time, its answer or what is wrong, and where answers come from.
"use strict";

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

let settings = { max_bytes: Infinity, unsure_below: 0.5 };
let token = "";
let waiting = null;
const asked = {}; // how many questions a panel has had; an answer to an older one comes too late and is dropped

// A panel is a prefix of four ids: empty, busy, problem and answer. A page with one question needs none.
async function ask(path, request, tell, panel = "") {
  const mine = next(panel);
  state("busy", panel);
  try {
    const answer = await answered(path, request);
    if (mine !== asked[panel]) return;
    tell(answer);
    state("answer", panel);
  } catch (error) {
    if (mine === asked[panel]) complain(error.message, panel);
  }
}

// The service's answer, or an Error whose message says to a person what is wrong and what to do.
async function answered(path, request) {
  for (;;) {
    const headers = { ...request.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(path, { method: "POST", ...request, headers }).catch(() => {
      throw new Error("The service does not answer. Is it still running? Try again in a moment.");
    });
    if (response.status === 401) {
      token = await askForToken(token !== "");
      continue;
    }
    const answer = await response.json().catch(() => ({ error: `The service failed (status ${response.status}). Try again.` }));
    if (!response.ok) throw new Error(sentence(answer.error));
    return answer;
  }
}

// A service may ask for a token. The person types it once; it is kept until the page is closed and sent to this service only.
function askForToken(again) {
  waiting ||= new Promise((resolve, reject) => {
    const dialog = at("token-dialog");
    at("token-problem").hidden = !again;
    at("token").value = "";
    dialog.addEventListener("close", () => {
      waiting = null;
      if (dialog.returnValue === "go") resolve(at("token").value);
      else reject(new Error("This service answers only those who have its token."));
    }, { once: true });
    dialog.returnValue = "";
    dialog.showModal();
  });
  return waiting;
}

function next(panel) {
  asked[panel] = (asked[panel] || 0) + 1;
  return asked[panel];
}

function complain(message, panel = "") {
  next(panel);
  at(`${panel}problem`).textContent = message;
  state("problem", panel);
}

function state(current, panel) {
  for (const id of ["empty", "busy", "problem", "answer"]) show(panel + id, id === current);
}

const sure = (probability) => probability >= settings.unsure_below;
const guess = ({ label, probability }) => (sure(probability) ? label : `${label}?`);

function headline(answer, digest) {
  at("label").textContent = guess(answer);
  at("label").classList.toggle("doubtful", !sure(answer.probability));
  show("doubt", !sure(answer.probability));
  at("digest").textContent = digest;
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

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

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

const introduced = introduce().catch(() => {}); // the page works without: limits and digests are shown when they are known
