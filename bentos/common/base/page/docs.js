// Swagger UI for the description of this service. A token entered with "Authorize" is sent with each request.
"use strict";

SwaggerUIBundle({ url: "docs.json", dom_id: "#api", deepLinking: true });
