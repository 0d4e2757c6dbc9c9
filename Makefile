# SPDX-License-Identifier: Apache-2.0
# A thin layer over tools/setup.sh, meson and tools/test.py, so that nobody needs to know them.
#
#   make setup   installs what is missing (Debian packages, a Python environment in .venv, DuckDB in .deps)
#   make         builds build/tributary and build/tributary-query
#   make demo    the whole tutorial in a minute, on a server of its own
#   make test    every test; the last line is "N passed, N failed"
#   make check   longer: 100,000 profiles against the oracle, Spark as a reader, threads under TSan
#   make bench   Tributary and its peers on the same files, and the table of ratios
#   make clean   removes what was built, not what was installed

.DEFAULT_GOAL := build
JOBS := $(shell nproc)
VENV := .venv/bin

RELEASE := -Dbuildtype=debugoptimized -Doptimization=3 -Db_ndebug=true
SANITIZED := -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false
THREADED := -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false

.PHONY: setup build build-asan build-tsan test check bench demo clean

setup:
	@tools/setup.sh

build: setup
	@tools/build.sh build $(RELEASE)

build-asan: setup
	@tools/build.sh build-asan $(SANITIZED)

build-tsan: setup
	@tools/build.sh build-tsan $(THREADED)

test: build build-asan
	@$(VENV)/python tools/test.py

check: build build-asan build-tsan
	@tools/setup.sh check
	@$(VENV)/python tools/test.py --check

bench: build
	@tools/setup.sh bench
	@$(VENV)/python bench/run.py

demo: build
	@build/tributary demo

clean:
	@rm -rf build build-asan build-tsan
