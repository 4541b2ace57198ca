# The venv of the lock. A stamp in .bitbloom/ tells which packages are installed: venv-cpu or venv-cuda those of the stages,
# venv-dev also the development tools. There is one .venv, so each rule removes the stamps that no longer hold.

BIN := .venv/bin
LOCK := $(if $(filter cuda,$(ACCEL)),requirements-cuda.lock,requirements.lock)
VENV_SCRIPTS := $(addprefix scripts/,venv.sh python.sh environment.sh torch_source.sh project_environment.py)
export PYTHON ACCEL
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Settings for another Python do not reach the recipes. Only this checkout's `src` stays on PYTHONPATH.
unexport PYTHONHOME PYTHONSTARTUP PYTHONPLATLIBDIR VIRTUAL_ENV CONDA_PREFIX
ifdef PYTHONPATH
export PYTHONPATH := $(filter src $(CURDIR)/src,$(subst :, ,$(PYTHONPATH)))
endif
# Without `.git`, as in a ZIP download, the commit of a repository around this folder is not ours.
ifeq "$(wildcard .git)" ""
export GIT_CEILING_DIRECTORIES := $(CURDIR)/..
endif

# A venv names its own folder: one that was moved or copied, or whose Python was removed, is made again (scripts/venv.sh).
itself := $(if $(realpath $(BIN)/python),$(realpath .venv/itself),none)
broken_venv := $(if $(findstring |$(itself)|,|$(realpath .venv/pyvenv.cfg)|),,FORCE)

# make itself reads CRLF, the shell does not.
has_lf = @! grep -q "$$(printf '\r')" scripts/venv.sh || { echo 'error: this checkout has CRLF line ends: clone it again, with LF' >&2; exit 1; }

$(STATE)/venv-cpu $(STATE)/venv-cuda: $(LOCK) pyproject.toml $(VENV_SCRIPTS) $(broken_venv)
	$(has_lf)
	@sh scripts/venv.sh $(if $(filter-out cuda,$(ACCEL)),$(if $(wildcard $(STATE)/venv-dev),requirements-dev.lock,$(LOCK)),$(LOCK))
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-cuda $(if $(filter cuda,$(ACCEL)),$(STATE)/venv-cpu $(STATE)/venv-dev) && touch $@

$(STATE)/venv-dev: requirements-dev.lock pyproject.toml $(VENV_SCRIPTS) $(broken_venv)
	$(has_lf)
	@sh scripts/venv.sh requirements-dev.lock
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-* && touch $(STATE)/venv-cpu $@
