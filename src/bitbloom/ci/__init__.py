"""What the workflows of `.github/` need that no maintained tool does: docs/ci.md. No stage imports this."""
