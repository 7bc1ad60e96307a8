# What there is to do. Every target has its line in the help.
.DEFAULT_GOAL := help
.PHONY: help test race sim sim-database flips fuzz bench guards

SEED  ?= 0
SEEDS ?= 1000
FROM  ?= 1
TIME  ?= 20s

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## run all tests
	go vet ./...
	go test ./...

race: ## run all tests with the race detector
	go test -race ./...

sim: ## run SEEDS seeds of the simulation from FROM on, or repeat one with its trace: make sim SEED=17
ifeq ($(SEED),0)
	go test ./internal/sim -run 'TestSim$$' -count=1 -timeout=0 -sim.from=$(FROM) -sim.seeds=$(SEEDS)
else
	go test ./internal/sim -run 'TestSim$$' -count=1 -v -sim.seed=$(SEED)
endif

sim-database: ## the same on PostgreSQL: make sim-database SEEDS=100 FROM=1, or SEED=17
ifeq ($(SEED),0)
	go test ./internal/sim -run 'TestDatabase$$' -count=1 -timeout=0 -sim.databasefrom=$(FROM) -sim.database=$(SEEDS)
else
	go test ./internal/sim -run 'TestDatabase$$' -count=1 -v -sim.seed=$(SEED)
endif

flips: ## flip every bit of a small view and of its log, under a running store
	go test ./internal/store/embedded -run TestFlipped -count=1 -timeout=0 -flip.all

fuzz: ## run every fuzz target for TIME
	scripts/fuzz $(TIME)

bench: ## run every benchmark once, briefly
	go test ./... -run '^$$' -bench . -benchtime 1s

guards: ## take each guard out and see its test fail
	go run ./internal/tools/guards -j 2
