// The area that takes a photo: chosen, dropped or pasted. It is shown, and sent unless it is over the limit.
"use strict";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// Gives the function that takes a photo, for pages that have other ways to choose one.
function photosTo(path, tell) {
  const take = async (photo) => {
    if (!photo) return;
    preview(photo);
    await introduced; // the limit
    if (photo.size > settings.max_bytes) {
      complain(`This photo has ${megabytes(photo.size)}; the limit is ${megabytes(settings.max_bytes)}. Make it smaller, then try again.`);
      return;
    }
    const form = new FormData();
    form.append("image", photo);
    ask(path, { body: form }, tell);
  };
  listen(take);
  return take;
}

function preview(photo) {
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(photo);
  at("preview").alt = `Your photo ${photo.name || ""}`.trim();
  for (const [id, shown] of [["preview", true], ["another", true], ["invitation", false]]) show(id, shown);
}

function listen(take) {
  at("photo").addEventListener("change", ({ target }) => {
    take(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  at("drop").addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
  at("drop").addEventListener("dragleave", () => at("drop").classList.remove("over"));
  at("drop").addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  at("preview").addEventListener("error", () => { show("preview", false); });
}
