"""Data before training: sources, photos, texts, packed arrays and splits."""
