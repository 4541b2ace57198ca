"""What the workflows of `.github/` say about a change: reports in Markdown, with pictures beside them. No stage imports this."""
