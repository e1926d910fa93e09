.PHONY: bench

bench: ## Measure registration and discovery beside the bare client, and write docs/bench
	cargo bench -p registry
