# After the launch: drift, robustness, the monitoring stack, retraining, promotion.

LOG ?=
DATA ?=

##@ Monitor (docs/monitoring.md)

# 3 is the exit code of a drift: make reports it as an error of the recipe and exits with 2.
.PHONY: drift
drift: $(STATE)/venv-$(ACCEL) ## Compare inputs with the training data of TARGET (LOG=folder of a prediction log, or DATA=photos)
	@bitbloom drift $(TARGET) $(if $(value LOG),--log $(call quoted,$(value LOG))) $(if $(value DATA),--data $(call quoted,$(value DATA)))

.PHONY: monitor
monitor: $(STATE)/venv-$(ACCEL) ## Watch the service on PORT: Prometheus, Alertmanager, Grafana, alerts (EVERY=1s HOLD=1s: at once; RETRAIN=log)
	@exec bitbloom monitor up --service '127.0.0.1:$(PORT)' $(if $(EVERY),--every '$(EVERY)') $(if $(HOLD),--hold '$(HOLD)') \
		$(if $(RETRAIN),--run "bitbloom retrain $(TARGET) --from '$(RETRAIN)'")

.PHONY: retrain
retrain: $(STATE)/venv-$(ACCEL) ## Learn from feedback in a prediction log, promote what is better (FROM=log|folder|gs://…, TARGET)
	@bitbloom retrain $(TARGET) --from $(call quoted,$(or $(value FROM),$(error FROM=log is missing: the prediction log, a folder or gs://bucket/prefix)))

.PHONY: rollback
rollback: $(STATE)/venv-$(ACCEL) ## Make an earlier promoted Bento of TARGET serve again (DIGEST: by default the previous one)
	@bitbloom rollback $(TARGET) $(DIGEST)

.PHONY: robustness
robustness: $(call stamp,evaluate) $(STATE)/venv-dev ## Measure TARGET on damaged and unknown inputs (BESIDE='model=cnn', UNKNOWN=photos/)
	@bitbloom robustness $(TARGET) $(if $(BESIDE),--beside '$(BESIDE)') \
		$(if $(value UNKNOWN),--unknown $(call quoted,$(value UNKNOWN))) $(if $(SAMPLES),--samples '$(SAMPLES)')
