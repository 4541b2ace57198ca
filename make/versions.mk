# Versions of the data: the difference of two, and the profile that a reviewed change accepts.

REV ?= HEAD

##@ Version data (docs/data-versions.md)

# 3 is the exit code of samples that moved between splits: make reports it as an error of the recipe and exits with 2.
.PHONY: data-diff
data-diff: $(call stamp,ingest) ## Compare the data of TARGET with those of REV: HTML page and Markdown
	@bitbloom data-diff $(TARGET) $(call quoted,$(value REV))

.PHONY: accept-data
accept-data: $(call stamp,ingest) ## Accept the data of TARGET: write expectations/profiles/TARGET.json
	@bitbloom accept-data $(TARGET)
