// The page of a service for texts: one text in, its label and the weight of each word out. It needs no library.
"use strict";

const FAINT = 0.02; // words of a smaller weight are not marked

function showResult([prediction]) {
  const { words } = prediction;
  showLabel(prediction, prediction.model_digest);
  at("bars").replaceChildren(bar(prediction));
  const most = Math.max(...words.map(({ weight }) => Math.abs(weight)), FAINT);
  at("words").replaceChildren(...words.flatMap((word) => [marked(word, most), " "]));
  at("weights").textContent = [listed("For", words, 1), listed("Against", words, -1)].join(" ").trim();
}

// The marks as text, for screen readers and touch screens, which do not show the titles of the marks.
function listed(side, words, sign) {
  const strongest = words.filter(({ weight }) => sign * weight >= FAINT).sort((one, other) => sign * (other.weight - one.weight));
  if (!strongest.length) return "";
  return `${side}: ${strongest.map(({ word, weight }) => `${word} (${percent(Math.abs(weight))})`).join(", ")}.`;
}

function marked({ word, weight }, most) {
  if (Math.abs(weight) < FAINT) return element("span", "", word);
  const mark = element("mark", weight > 0 ? "for" : "against", word);
  mark.style.setProperty("--strength", `${Math.round(20 + (60 * Math.abs(weight)) / most)}%`);
  mark.title = `${weight > 0 ? "for" : "against"}: ${percent(Math.abs(weight))}`;
  return mark;
}

// Keyword and location, if the page of the task has these fields.
const field = (id) => at(id)?.value ?? "";

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = { text: at("text").value, keyword: field("keyword"), location: field("location") };
  send("predict", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ texts: [message] }) }, showResult);
});
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    at("text").value = example.textContent;
    at("form").requestSubmit();
  });
}
