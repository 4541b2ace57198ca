"""`bitbloom drift`: compare a prediction log, a folder of photos or a table of texts with a model's reference."""
