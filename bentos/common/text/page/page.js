// The page for people: one text in, its label out, and which words said so. No library, nothing from elsewhere.
"use strict";

const FAINT = 0.02; // words that matter less than this are not marked

function tell([answer]) {
  headline(answer, answer.model_digest);
  at("bars").replaceChildren(bar(answer));
  const most = Math.max(...answer.words.map(({ weight }) => Math.abs(weight)), FAINT);
  at("words").replaceChildren(...answer.words.flatMap((word) => [marked(word, most), " "]));
  at("weights").textContent = [listed("For", answer.words, 1), listed("Against", answer.words, -1)].join(" ").trim();
}

// The marks in words, for those who do not see them and for fingers, which cannot point at one to see its number.
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

// Keyword and place, where the page of a task asks for them.
const part = (id) => at(id)?.value ?? "";

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = { text: at("text").value, keyword: part("keyword"), location: part("location") };
  ask("predict", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ texts: [message] }) }, tell);
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
