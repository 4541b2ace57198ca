# Tells in a few milliseconds, without Python, whether a build is up to date: its stamp is newer than every input, and its outputs
# exist.
#
# Reads TARGET, SET, ACCEL and OWN of the Makefile and LOCK of make/venv.mk. Defines for the other files:
#   settings             the overrides of the configuration: SET, and the numerics of ACCEL
#   $(call stamp,STAGE)  the stamp of TARGET built up to STAGE (`all`: every stage), a prerequisite of rules that need this build

# The graph of TARGET: INPUTS.<stage>, the files that no stage makes, and OUTPUTS.<stage>, the files that a stage makes. Every
# build of the target writes it. Without it, before the first build, make starts the build; so it does when the file has merge
# conflicts, which make could not read.
-include $(filter-out $(call conflicted,$(STATE)/graph/$(TARGET).mk),$(STATE)/graph/$(TARGET).mk)

# The name of a stamp contains target, last stage, accelerator and overrides. A build with overrides also writes
# <stamp>.workspace, which names the folder of its outputs.
settings = $(strip $(SET) $(if $(filter cuda,$(ACCEL)),numerics=cuda))
overrides_id = $(if $(settings),-$(shell printf '%s' '$(settings)' | sha256sum | cut -c1-12))
stamp = $(STATE)/stamps/$(TARGET)-$(1)-$(ACCEL)$(overrides_id)
workspace = $(if $(settings),$(shell cat $(call stamp,$(1)).workspace 2>/dev/null || echo nowhere)/)

# Reasons to call DVC although the stamp is current: no graph exists, an output is missing, your own data changed, or a build was
# killed.
wanted = $(addprefix $(call workspace,$(1)),$(OUTPUTS.$(1)))
missing = $(filter-out $(wildcard $(call wanted,$(1))),$(call wanted,$(1)))
own_data_changed = $(shell find data/external/$(TARGET) -newer $(call stamp,$(1)) -print -quit 2>/dev/null)
# A killed build leaves the file `building`. An active build has it too, but also holds the lock: then flock exits with 1, and
# make does not wait.
was_killed = $(if $(wildcard $(call workspace,$(1))$(STATE)/building),$(shell \
	flock -sn $(STATE)/build.lock true 2>/dev/null; [ $$? = 1 ] || echo yes))
ask_dvc = $(or $(if $(INPUTS.$(1)),,unknown),$(call missing,$(1)),$(call own_data_changed,$(1)),$(call was_killed,$(1)))
inputs = $(INPUTS.$(1)) $(LOCK) $(if $(OWN),IMPORT)

# The time of a stamp is the start of its build, so a file saved during the build is newer. A killed build leaves no stamp, and
# the next build in its workspace recovers dvc.lock.
define build_rule
$(call stamp,$(1)): $(call inputs,$(1)) $(if $(call ask_dvc,$(1)),FORCE) | $(STATE)/venv-$(ACCEL)
	@mkdir -p $$(@D) && rm -f $$@ && begun=$$$$(mktemp $$@.begun.XXXXXX) \
		&& { bitbloom build $(TARGET) --until $(1) $(settings) $(if $(settings),--where $$@.workspace) || { rm -f $$$$begun; exit 1; }; } \
		&& mv $$$$begun $$@
endef

BUILDS := all ingest validate prepare features train evaluate export package audit
$(foreach build,$(BUILDS),$(eval $(call build_rule,$(build))))
$(sort $(foreach build,$(BUILDS),$(INPUTS.$(build)))): ;

.PHONY: IMPORT
IMPORT: $(STATE)/venv-$(ACCEL)
	@bitbloom import $(TARGET) $(call quoted,$(OWN)) $(settings)

.PHONY: FORCE
FORCE:
