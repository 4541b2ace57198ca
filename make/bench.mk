# Programs of benchmarks/. The numbers in docs come from them; the longest takes an hour.

##@ Measure

.PHONY: bench
bench: $(STATE)/venv-dev ## Difficulty of the garden, and the accuracy of a CNN on it
	@python benchmarks/garden_difficulty.py
	@python benchmarks/architectures.py

.PHONY: bench-build
bench-build: $(STATE)/venv-dev ## Build time, compared with plain dvc repro and Snakemake
	@bitbloom build petals-tiny && python benchmarks/build.py

.PHONY: bench-numerics
bench-numerics: $(call stamp,prepare) $(STATE)/venv-dev ## Cost of reproducible training, against the Hugging Face Trainer
	@python benchmarks/numerics.py

.PHONY: bench-real
bench-real: $(STATE)/venv-dev ## Accuracy on real photos (FLOWERS=flowers.tar)
	@python benchmarks/real_photos.py '$(or $(FLOWERS),$(error FLOWERS=path is missing: a folder, tar or zip with one folder a class))'

.PHONY: bench-captions
bench-captions: $(STATE)/venv-dev ## Retrieval and captions on your photos (CAPTIONS=path)
	@python benchmarks/captions.py '$(or $(CAPTIONS),$(error CAPTIONS=path is missing: photos with COCO's caption JSON))'

.PHONY: bench-tweets
bench-tweets: $(STATE)/venv-dev ## F1 on Kaggle's tweets, and throughput (TWEETS=train.csv)
	@python benchmarks/tweets.py '$(or $(TWEETS),$(error TWEETS=path is missing: Kaggle's train.csv))'

.PHONY: bench-serving
bench-serving: $(call stamp,package) $(STATE)/venv-dev ## Throughput and latency: ours, FastAPI, BentoML and LitServe
	@python benchmarks/serving.py
	@python benchmarks/serving_costs.py

.PHONY: soak
soak: $(call stamp,package) $(STATE)/venv-dev ## Ten minutes at capacity, then overload: no lost response, no leak
	@python benchmarks/soak.py
