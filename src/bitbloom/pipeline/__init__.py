"""The management of stages: build graph, builds, import of own data, records, tracking. No stage imports it."""
