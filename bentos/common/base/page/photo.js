// The area for photos: chosen, dropped or pasted. It shows one photo, and sends it unless it exceeds the limit.
"use strict";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// Return the function that previews and sends a photo, for other sources of photos of a page.
function sendPhotosTo(path, render) {
  const take = async (photo) => {
    if (!photo) return;
    preview(photo);
    const excess = await sizeProblem(photo);
    if (excess) showProblem(excess);
    else send(path, { body: form(photo) }, render);
  };
  listen(([photo]) => take(photo));
  return take;
}

function form(photo) {
  const made = new FormData();
  made.append("image", photo);
  return made;
}

// Return a message for a photo over the limit of the service, else "".
async function sizeProblem(photo) {
  await described; // settings has the limit
  if (photo.size <= settings.max_bytes) return "";
  return `This photo has ${megabytes(photo.size)}; the limit is ${megabytes(settings.max_bytes)}. Make it smaller, then try again.`;
}

function preview(photo) {
  URL.revokeObjectURL(at("preview").src);
  at("preview").src = URL.createObjectURL(photo);
  at("preview").alt = `Your photo ${photo.name || ""}`.trim();
  for (const [id, shown] of [["preview", true], ["another", true], ["invitation", false]]) show(id, shown);
}

// Take a photo of the service, as if a person had chosen it.
async function takeFrom(address, name, take) {
  const response = await fetch(address).catch(() => null);
  if (response?.ok) take([new File([await response.blob()], name)]);
  else showProblem("This photo cannot be fetched. Is the service still running? Try again in a moment.");
}

function listen(take) {
  at("sample")?.addEventListener("click", ({ currentTarget }) => takeFrom(currentTarget.dataset.photo, "sample.jpg", take));
  at("photo").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = ""; // the same file can be chosen again
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
