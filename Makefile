# What one does with this project. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help demo test long cases versions servers reference engines simulate soak bench clean

ENGINE ?= postgres
SEEDS ?= 100000
RUNS ?= 10
BENCH ?= --rounds 3

CARGO ?= cargo

# The tests that take longest, by a part of their names: `make test` leaves them to `make long`.
LONG = a_transaction_of_300_000_rows a_row_of_64_megabytes whatever_dies_at_any_statement \
       a_run_goes_on_after_a_long_silence by_file_and_position with_minimal_row_images \
       goes_black_in_the_cut_over a_quiet_table_is_copied_bare a_run_that_dies_when_it_gives \
       the_first_change_gives_a_bare no_write_gets_past a_unique_value_that_wanders \
       every_table_of_a_schema a_full_disk no_setting_changes_what \
       a_million_rows_are_changed_once under_a_saturating_load for_five_minutes a_hundred_times \
       whatever_dies_ten_times unique_values_that_wander of_the_swap_back
demo_server = $(if $(filter postgres,$(ENGINE)),postgres18,$(ENGINE))
step = @printf '\n== %s\n'

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## change a table of a million rows under load and prove it equal; ENGINE=postgres|mariadb|mysql
	$(step) 'A throwaway $(ENGINE)'
	integration/install-servers $(demo_server)
	$(step) 'Building altergeist'
	$(CARGO) build --release -p altergeist -p altergeist-integration --bin altergeist --bin demo
	$(step) 'The demonstration'
	@$$($(CARGO) metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/demo $(ENGINE)

test: ## format, lints, unit, simulation, conformance, and integration with real servers
	$(step) 'Format'
	$(CARGO) fmt --all --check
	$(step) 'Lints'
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(step) 'Links in the documentation'
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps
	$(step) 'Servers'
	integration/install-servers all
	$(step) 'Building'
	$(CARGO) test --workspace --no-run
	$(step) 'Tests'
	RUST_TEST_THREADS=4 $(CARGO) test --workspace --no-fail-fast -- $(LONG:%=--skip %)

long: ## the longest tests, and those of PostgreSQL 15 that are the same as of 18; an hour
	integration/install-servers all
	RUST_TEST_THREADS=3 $(CARGO) test --workspace --no-fail-fast --test suite -- $(LONG)
	RUST_TEST_THREADS=3 $(CARGO) test --workspace --test suite -- --ignored postgres15

cases: ## every case, killed and live, on every server it is for; half an hour
	integration/install-servers all
	ALTERGEIST_EVERYWHERE=1 $(CARGO) test --workspace --test cases

versions: ## the tests once more on PostgreSQL 17 and MariaDB 11.8, in the places of 15 and 10.11; half an hour
	integration/install-servers all
	integration/install-servers postgres17 mariadb118
	ALTERGEIST_POSTGRES15=postgres17 ALTERGEIST_MARIADB=mariadb118 RUST_TEST_THREADS=3 \
		$(CARGO) test --workspace --no-fail-fast -- --skip mysql --skip postgres18 --skip postgresql_18
	ALTERGEIST_POSTGRES15=postgres17 RUST_TEST_THREADS=3 \
		$(CARGO) test --workspace --test suite -- --ignored postgres15

servers: ## fetch the throwaway servers into the cache folder
	integration/install-servers all

reference: ## write docs/reference anew, from the binary's own --help
	ALTERGEIST_WRITE_REFERENCE=1 $(CARGO) test -p altergeist --test reference

engines: ## the core builds with no engine, and the program with each engine alone
	$(CARGO) check -p altergeist --lib --no-default-features
	$(CARGO) check -p altergeist --no-default-features --features mysql
	$(CARGO) check -p altergeist --no-default-features --features postgres

simulate: ## the core against the model engine, for SEEDS=100000 seeds
	ALTERGEIST_SEEDS=$(SEEDS) $(CARGO) test --release -p altergeist-simulation -- --ignored --nocapture

soak: ## hours: a million rows, killed and resumed, RUNS=10 times on every server
	integration/install-servers all
	$(CARGO) build --release -p altergeist --bin altergeist
	ALTERGEIST_SOAK_RUNS=$(RUNS) \
		$(CARGO) test --release -p altergeist-integration --test suite -- killed:: --ignored --nocapture --test-threads 1

bench: ## altergeist against the server's own ALTER and the peers on the PATH; BENCH='--rounds 5 mysql'
	integration/install-servers all
	$(CARGO) build --release -p altergeist -p altergeist-integration --bin altergeist --bin bench
	@$$($(CARGO) metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/bench $(BENCH)

clean: ## forget what was built (the servers stay: they are in the cache folder)
	$(CARGO) clean
