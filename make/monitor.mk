# After the launch: drift.

LOG ?=
DATA ?=

##@ Monitor

# 3 is the exit code of a drift: make reports it as an error of the recipe and exits with 2.
.PHONY: drift
drift: $(STATE)/venv-$(ACCEL) ## Compare inputs with the training data of TARGET (LOG=folder of a prediction log, or DATA=photos)
	@bitbloom drift $(TARGET) $(if $(value LOG),--log $(call quoted,$(value LOG))) $(if $(value DATA),--data $(call quoted,$(value DATA)))

.PHONY: robustness
robustness: $(call stamp,evaluate) $(STATE)/venv-dev ## Measure TARGET on damaged and unknown inputs (BESIDE='model=cnn', UNKNOWN=photos/)
	@bitbloom robustness $(TARGET) $(if $(BESIDE),--beside '$(BESIDE)') \
		$(if $(value UNKNOWN),--unknown $(call quoted,$(value UNKNOWN))) $(if $(SAMPLES),--samples '$(SAMPLES)')
