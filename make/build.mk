# When a build is up to date, answered in a few milliseconds and without Python. It is, when its stamp is newer than everything
# that the build reads, and when its outputs exist.
#
# Reads TARGET, SET, ACCEL and OWN of the Makefile and LOCK of make/venv.mk. Offers to the other files:
#   settings             the overrides of the configuration: SET, and the numerics of ACCEL
#   $(call stamp,STAGE)  the stamp of TARGET built up to STAGE (`all`: to the end); a rule that needs this build names it

# The graph of TARGET: INPUTS.<stage>, the files that no stage makes, and OUTPUTS.<stage>, those that one makes. Every build of
# the target writes it; before the first one there is none, and the build is asked for.
-include $(STATE)/graph/$(TARGET).mk

# The name of a stamp holds target, last stage, accelerator and overrides. The stamp of a build with overrides has a note beside
# it that names the workspace of its outputs.
settings = $(strip $(SET) $(if $(filter cuda,$(ACCEL)),numerics=cuda))
overrides_id = $(if $(settings),-$(shell printf '%s' '$(settings)' | sha256sum | cut -c1-12))
stamp = $(STATE)/stamps/$(TARGET)-$(1)-$(ACCEL)$(overrides_id)
workspace = $(if $(settings),$(shell cat $(call stamp,$(1)).workspace 2>/dev/null || echo nowhere)/)

# Reasons to ask DVC, whatever the stamp says: there is no graph yet, an output is missing, your own data changed, or a build was
# killed.
wanted = $(addprefix $(call workspace,$(1)),$(OUTPUTS.$(1)))
missing = $(filter-out $(wildcard $(call wanted,$(1))),$(call wanted,$(1)))
own_data_changed = $(shell find data/external/$(TARGET) -newer $(call stamp,$(1)) -print -quit 2>/dev/null)
# A killed build leaves the file `building`. An active build has it too, and is not waited for: flock exits with 1 while
# another process holds the lock.
was_killed = $(if $(wildcard $(call workspace,$(1))$(STATE)/building),$(shell \
	flock -n $(STATE)/build.lock true 2>/dev/null; [ $$? = 1 ] || echo yes))
ask_dvc = $(or $(if $(INPUTS.$(1)),,unknown),$(call missing,$(1)),$(call own_data_changed,$(1)),$(call was_killed,$(1)))
inputs = $(INPUTS.$(1)) $(LOCK) $(if $(OWN),IMPORT)

# The stamp is as old as the start of its build, so that a file saved during the build is newer. A killed build has no stamp,
# not even an earlier one, and the next build in its workspace recovers dvc.lock.
define build_rule
$(call stamp,$(1)): $(call inputs,$(1)) $(if $(call ask_dvc,$(1)),FORCE) | $(STATE)/venv-$(ACCEL)
	@mkdir -p $$(@D) && rm -f $$@ && begun=$$$$(mktemp $$@.begun.XXXXXX) \
		&& { bitbloom build $(TARGET) --until $(1) $(settings) $(if $(settings),--where $$@.workspace) || { rm -f $$$$begun; exit 1; }; } \
		&& mv $$$$begun $$@
endef

BUILDS := all ingest validate prepare features train evaluate export package
$(foreach build,$(BUILDS),$(eval $(call build_rule,$(build))))
$(sort $(foreach build,$(BUILDS),$(INPUTS.$(build)))): ;

.PHONY: IMPORT
IMPORT: $(STATE)/venv-$(ACCEL)
	@bitbloom import $(TARGET) '$(OWN)'

.PHONY: FORCE
FORCE:
