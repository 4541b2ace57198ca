# Programs of benchmarks/. They measure the numbers in docs; the longest takes an hour.

##@ Measure

.PHONY: bench
bench: $(STATE)/venv-dev ## Measure the difficulty of the garden, and a CNN's accuracy on it
	@python benchmarks/garden_difficulty.py
	@python benchmarks/architectures.py

.PHONY: bench-build
bench-build: $(STATE)/venv-dev ## Compare the build time with plain dvc repro and Snakemake
	@bitbloom build petals-tiny && python benchmarks/build.py

.PHONY: bench-numerics
bench-numerics: $(call stamp,prepare) $(STATE)/venv-dev ## Compare the training speed with the Hugging Face Trainer
	@python benchmarks/numerics.py

.PHONY: bench-kernels
bench-kernels: $(STATE)/venv-dev ## Compare the kernels of the defined arithmetic with PyTorch's
	@python benchmarks/kernels.py

.PHONY: bench-loading
bench-loading: $(STATE)/venv-dev ## Compare feeding a training with other loaders (FLOWERS=path)
	@python benchmarks/loading.py $(if $(value FLOWERS),--flowers $(call quoted,$(value FLOWERS)))

.PHONY: bench-workers
bench-workers: $(call stamp,prepare) $(STATE)/venv-dev ## Measure the training speed with 1, 2 and 4 workers
	@python benchmarks/workers.py

.PHONY: bench-real
bench-real: $(STATE)/venv-dev ## Measure the accuracy on real photos (FLOWERS=flowers.tar)
	@python benchmarks/real_photos.py $(call quoted,$(or $(value FLOWERS),$(error FLOWERS=path is missing: a folder, tar or zip with one folder per class)))

.PHONY: bench-labels
bench-labels: $(STATE)/venv-dev ## Measure how well flipped labels of photos are found (FLOWERS=flowers.tar)
	@python benchmarks/label_errors.py $(call quoted,$(or $(value FLOWERS),$(error FLOWERS=path is missing: a folder, tar or zip with one folder per class)))

.PHONY: bench-captions
bench-captions: $(STATE)/venv-dev ## Measure retrieval and captions on your photos (CAPTIONS=path)
	@python benchmarks/captions.py $(call quoted,$(or $(value CAPTIONS),$(error CAPTIONS=path is missing: photos with COCO's caption JSON)))

.PHONY: bench-tweets
bench-tweets: $(STATE)/venv-dev ## Measure F1 on Kaggle's tweets, and throughput (TWEETS=train.csv)
	@python benchmarks/tweets.py $(call quoted,$(or $(value TWEETS),$(error TWEETS=path is missing: Kaggle's train.csv)))

.PHONY: corruption-matrix
corruption-matrix: $(STATE)/venv-dev ## Damage clean data in every way, and list what the gate finds (REAL=path)
	@python benchmarks/corruption_matrix.py --seeds $(or $(SEEDS),3) $(if $(value REAL),--real $(call quoted,$(value REAL)))

.PHONY: bench-serving
bench-serving: $(call stamp,package) $(STATE)/venv-dev ## Compare throughput and latency with FastAPI, BentoML, LitServe
	@python benchmarks/serving.py
	@python benchmarks/serving_costs.py

.PHONY: bench-batch
bench-batch: $(call stamp,package) $(STATE)/venv-dev ## Compare batch prediction with a bare loop and Ray Data
	@python benchmarks/batch.py

.PHONY: bench-gate
bench-gate: $(STATE)/venv-dev ## Compare the gate on a million rows with pandera and DuckDB
	@python benchmarks/gate.py

.PHONY: bench-scale
bench-scale: $(STATE)/venv-dev ## Measure ingest, validate and prepare (PHOTOS_EACH='2000 20000')
	@python benchmarks/scale.py $(if $(PHOTOS_EACH),--photos $(PHOTOS_EACH))

.PHONY: soak
soak: $(call stamp,package) $(STATE)/venv-dev ## Run at capacity for ten minutes, then overload: no leak, no loss
	@python benchmarks/soak.py
