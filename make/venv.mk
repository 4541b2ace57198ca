# The venv of the lock. A stamp in .bitbloom/ tells which packages are installed: venv-cpu or venv-cuda those of the stages,
# venv-dev also the development tools. There is one .venv, so each rule removes the stamps that no longer hold.

BIN := .venv/bin
LOCK := $(if $(filter cuda,$(ACCEL)),requirements-cuda.lock,requirements.lock)
VENV_SCRIPTS := scripts/venv.sh scripts/torch_source.sh scripts/project_environment.py
export PYTHON ACCEL
export PATH := $(CURDIR)/$(BIN):$(PATH)

$(STATE)/venv-cpu $(STATE)/venv-cuda: $(LOCK) pyproject.toml $(VENV_SCRIPTS)
	@sh scripts/venv.sh $(if $(filter-out cuda,$(ACCEL)),$(if $(wildcard $(STATE)/venv-dev),requirements-dev.lock,$(LOCK)),$(LOCK))
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-cuda $(if $(filter cuda,$(ACCEL)),$(STATE)/venv-cpu $(STATE)/venv-dev) && touch $@

$(STATE)/venv-dev: requirements-dev.lock pyproject.toml $(VENV_SCRIPTS)
	@sh scripts/venv.sh requirements-dev.lock
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-* && touch $(STATE)/venv-cpu $@
