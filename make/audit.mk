# Wrong labels: rank them, and correct them.

##@ Labels (docs/label-errors.md)

.PHONY: audit-labels
audit-labels: $(call stamp,audit) ## Rank the samples of TARGET whose label is doubted: a page, a CSV
	@$(if $(PERCENTAGE),bitbloom audit-labels $(TARGET) --percentage '$(PERCENTAGE)',echo '$(call workspace,audit)reports/$(TARGET)/label-errors.html')

.PHONY: relabel
relabel: $(call stamp,ingest) ## Apply the verdicts of an edited CSV: a new version of the data (FILE=label-errors.csv)
	@bitbloom relabel $(TARGET) $(call quoted,$(or $(value FILE),$(error FILE=path is missing: the CSV of make audit-labels, with verdicts)))
