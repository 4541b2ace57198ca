// The page for people: one photo in, the likeliest species out. No library, no storage, nothing from elsewhere.
"use strict";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function label(photo) {
  preview(photo);
  if (photo.size > settings.max_bytes) {
    complain(`This photo has ${megabytes(photo.size)}; the limit is ${megabytes(settings.max_bytes)}. Make it smaller, then try again.`);
    return;
  }
  const form = new FormData();
  form.append("image", photo);
  ask("predict", { body: form }, tell);
}

function tell(answer) {
  headline(answer.label, answer.probability, answer.model_digest);
  at("bars").replaceChildren(...answer.top5.map(bar));
}

function preview(photo) {
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(photo);
  at("preview").alt = `Your photo ${photo.name || ""}`.trim();
  for (const [id, shown] of [["preview", true], ["another", true], ["invitation", false]]) show(id, shown);
}

at("photo").addEventListener("change", ({ target }) => {
  if (target.files[0]) label(target.files[0]);
  target.value = ""; // the same file may be chosen again
});
at("drop").addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
at("drop").addEventListener("dragleave", () => at("drop").classList.remove("over"));
at("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) label(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files[0]) label(event.clipboardData.files[0]);
});
at("preview").addEventListener("error", () => { show("preview", false); });
