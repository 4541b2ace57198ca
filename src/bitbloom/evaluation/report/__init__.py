"""What a person reads after a build: figures, the HTML report, the model card. Every byte of it is canonical."""
