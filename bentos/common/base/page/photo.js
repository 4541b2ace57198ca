// The area that takes photos: chosen, dropped or pasted. One is shown, and sent unless it is over the limit.
"use strict";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// Gives the function that takes a photo, for pages that have other ways to choose one.
function photosTo(path, tell) {
  const take = async (photo) => {
    if (!photo) return;
    preview(photo);
    const excess = await tooBig(photo);
    if (excess) complain(excess);
    else ask(path, { body: form(photo) }, tell);
  };
  listen(([photo]) => take(photo));
  return take;
}

function form(photo) {
  const made = new FormData();
  made.append("image", photo);
  return made;
}

// What to say of a photo that the service would refuse for its size, else "".
async function tooBig(photo) {
  await introduced; // the limit
  if (photo.size <= settings.max_bytes) return "";
  return `This photo has ${megabytes(photo.size)}; the limit is ${megabytes(settings.max_bytes)}. Make it smaller, then try again.`;
}

function preview(photo) {
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(photo);
  at("preview").alt = `Your photo ${photo.name || ""}`.trim();
  for (const [id, shown] of [["preview", true], ["another", true], ["invitation", false]]) show(id, shown);
}

function listen(take) {
  at("photo").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = ""; // the same file may be chosen again
  });
  at("drop").addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
  at("drop").addEventListener("dragleave", () => at("drop").classList.remove("over"));
  at("drop").addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => take([...event.clipboardData.files]));
  at("preview").addEventListener("error", () => { show("preview", false); });
}
