"""What happens around the stages: the build graph, the front door, import of own data, records, tracking. No stage imports it."""
