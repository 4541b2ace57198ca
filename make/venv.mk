# The venv of the lock. A stamp in .bitbloom/ tells which packages are installed: venv-cpu or venv-cuda those of the stages,
# venv-dev also the development tools. There is one .venv, so each rule removes the stamps that no longer hold.

BIN := .venv/bin
LOCK := $(if $(filter cuda,$(ACCEL)),requirements-cuda.lock,requirements.lock)
VENV_SCRIPTS := scripts/venv.sh scripts/python.sh scripts/torch_source.sh scripts/project_environment.py
export PYTHON ACCEL
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A venv names its own folder: one that was moved or copied, or whose Python was removed, is made again (scripts/venv.sh).
itself := $(if $(realpath $(BIN)/python),$(realpath .venv/itself),none)
broken_venv := $(if $(findstring |$(itself)|,|$(realpath .venv/pyvenv.cfg)|),,FORCE)

$(STATE)/venv-cpu $(STATE)/venv-cuda: $(LOCK) pyproject.toml $(VENV_SCRIPTS) $(broken_venv)
	@sh scripts/venv.sh $(if $(filter-out cuda,$(ACCEL)),$(if $(wildcard $(STATE)/venv-dev),requirements-dev.lock,$(LOCK)),$(LOCK))
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-cuda $(if $(filter cuda,$(ACCEL)),$(STATE)/venv-cpu $(STATE)/venv-dev) && touch $@

$(STATE)/venv-dev: requirements-dev.lock pyproject.toml $(VENV_SCRIPTS) $(broken_venv)
	@sh scripts/venv.sh requirements-dev.lock
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-* && touch $(STATE)/venv-cpu $@
