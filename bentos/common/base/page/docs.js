// Swagger UI for the description of this service. Requests from it need the token as every request does.
"use strict";

SwaggerUIBundle({ url: "docs.json", dom_id: "#api", deepLinking: true });
