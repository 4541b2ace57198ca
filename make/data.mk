# DVC's remote: a folder or a bucket that keeps data, models, reports and the records of runs.

BUCKET ?=

##@ Share data (docs/remote.md)

# `REMOTE=` options after the address: what `bitbloom remote --help` lists.
remote_options = $(if $(filter 1,$(CREATE)),--create) $(if $(PROJECT),--project '$(PROJECT)') $(if $(LOCATION),--location '$(LOCATION)') \
	$(if $(WRITER),--writer '$(WRITER)') $(if $(READER),--reader '$(READER)') $(if $(filter 1,$(DRY_RUN)),--dry-run) \
	$(if $(value CREDENTIALS),--credentials $(call quoted,$(value CREDENTIALS)))

.PHONY: remote
ifeq "$(DEMO)" "1"
remote: TARGET = petals-tiny
remote: $(STATE)/venv-dev
	@bitbloom build $(TARGET) && bitbloom remote-demo $(TARGET)
else
remote: $(STATE)/venv-$(ACCEL) ## Use BUCKET=gs://…|PATH as remote (CREATE=1, WRITER, READER, DRY_RUN=1); DEMO=1: try it
	@bitbloom remote $(call quoted,$(or $(value BUCKET),$(error BUCKET is missing: gs://bucket/prefix or the path of a folder; DEMO=1 needs none))) \
		$(remote_options)
endif

.PHONY: push
push: $(STATE)/venv-$(ACCEL) ## Send TARGET's data, model and reports to the remote (STAGE=prepare: up to it)
	@bitbloom push $(TARGET) --until $(or $(STAGE),all)

.PHONY: pull
pull: $(STATE)/venv-$(ACCEL) ## Bring what the remote has of TARGET; name what it lacks (STAGE=ingest)
	@bitbloom pull $(TARGET) --until $(or $(STAGE),all)

.PHONY: data-status
data-status: $(STATE)/venv-$(ACCEL) ## Show which outputs of TARGET are here and in the remote
	@bitbloom data-status $(TARGET) --until $(or $(STAGE),all)
