# After the launch: drift.

LOG ?=
DATA ?=

##@ Monitor

# 3 is the exit code of a drift: make reports it as an error of the recipe and exits with 2.
.PHONY: drift
drift: $(STATE)/venv-$(ACCEL) ## Compare inputs with the training data of TARGET (LOG=folder of a prediction log, or DATA=photos)
	@bitbloom drift $(TARGET) $(if $(value LOG),--log $(call quoted,$(value LOG))) $(if $(value DATA),--data $(call quoted,$(value DATA)))
