"""Reports for the workflows of `.github/` that no maintained tool offers (docs/ci.md). No stage imports this."""
