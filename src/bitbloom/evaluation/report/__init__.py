"""The report of a build: figures, the HTML report and the model card, all reproducible byte by byte."""
