// The page for people: one photo in, the likeliest species out. No library, no storage, nothing from elsewhere.
"use strict";

photosTo("predict", (answer) => {
  headline(answer.label, answer.probability, answer.model_digest);
  at("bars").replaceChildren(...answer.top5.map(bar));
});
