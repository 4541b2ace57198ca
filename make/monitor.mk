# After the launch: robustness.

##@ Monitor (docs/robustness.md)

.PHONY: robustness
robustness: $(call stamp,evaluate) $(STATE)/venv-dev ## Measure TARGET on damaged and unknown inputs (BESIDE='model=cnn', UNKNOWN=photos/)
	@bitbloom robustness $(TARGET) $(if $(BESIDE),--beside '$(BESIDE)') \
		$(if $(value UNKNOWN),--unknown $(call quoted,$(value UNKNOWN))) $(if $(SAMPLES),--samples '$(SAMPLES)')
