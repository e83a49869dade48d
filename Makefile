# Everything that is done with this repository; `make help` lists it. Missing Debian packages are installed.
# One step at a time: builds use all cores by themselves.
.NOTPARALLEL:

SWIFT ?= swift
PYTHON ?= python3
NEARHUB = .build/release/nearhub
PLUGIN = .build/plugin/nearhub_mosquitto.so
STEP = .ci/step
DEPS = .ci/deps
PYTEST_ARGS ?= -n 4

# Relocations in a tenth of the space (DT_RELR, glibc 2.36): 0.9 MB less of binary, and of memory at the start.
LINK = -Xswiftc -use-ld=lld -Xlinker -z -Xlinker pack-relative-relocs -Xlinker --icf=safe

# The crash backtracer hangs without a terminal, and a test would wait for it.
export SWIFT_BACKTRACE = enable=no

.PHONY: build plugin help run test unit-tests integration lint bench-http bench-coap bench-mqtt bench-upstream bench-footprint bench-store soak mutants install clean

build: plugin ## build the release binary, .build/release/nearhub, and the plugin for Mosquitto
	@$(DEPS) build
	@$(STEP) "release build" $(SWIFT) build -c release --static-swift-stdlib $(LINK) --product nearhub

plugin: ## build the plugin for Mosquitto, .build/plugin/nearhub_mosquitto.so
	@$(DEPS) plugin
	@$(STEP) "plugin for Mosquitto" $(MAKE) --no-print-directory $(PLUGIN)

PLUGIN_SOURCES = $(wildcard Sources/MosquittoPlugin/*.c)
PLUGIN_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -fPIC -fvisibility=hidden \
	-fstack-protector-strong -D_FORTIFY_SOURCE=2

$(PLUGIN): $(PLUGIN_SOURCES) $(wildcard Sources/MosquittoPlugin/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) -O2 -g $(PLUGIN_CFLAGS) $(CFLAGS) -shared -Wl,-z,relro,-z,now $(LDFLAGS) $(PLUGIN_SOURCES) -o $@

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## start a hub with a demo profile and a broker in ./state; PORT=8080 COAP_PORT=5683 MQTT_PORT=1884
	@$(DEPS) broker
	@etc/demo

test: unit-tests integration ## run all tests: unit, integration, systemd files

unit-tests: ## run the unit tests on a debug build
	@$(DEPS) build broker
	@$(STEP) "debug build" $(SWIFT) build --build-tests
	@$(STEP) "unit tests" $(SWIFT) test --skip-build --parallel

integration: build ## run the integration tests on the release binary, and check the systemd files; PYTEST_ARGS="-n 4"
	@$(DEPS) test
	@$(STEP) "python packages" $(MAKE) --no-print-directory venv/installed venv-old/installed venv-thingsboard/installed
	@NEARHUB_BIN="$(CURDIR)/$(NEARHUB)" $(STEP) "integration tests" venv/bin/pytest $(PYTEST_ARGS) Tests/Integration
	@$(STEP) "systemd files" .ci/unit

soak: build ## the long form of the tests of crashes and disks, about an hour; SEEDS="2 3 4" SECONDS_EACH=100 KILL_ROUNDS=300
	@$(DEPS) test
	@$(STEP) "python packages" $(MAKE) --no-print-directory venv/installed
	@NEARHUB_BIN="$(CURDIR)/$(NEARHUB)" $(STEP) "soak" Tests/Faults/soak

mutants: ## plant bugs into copies of the sources and show that the tests of power cuts find each, about 20 minutes
	@$(DEPS) build test
	@$(STEP) "python packages" $(MAKE) --no-print-directory venv/installed
	@$(STEP) "mutants" Tests/Faults/mutants

venv/installed: Tests/Integration/requirements.txt
	$(PYTHON) -m venv --clear venv
	venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

venv-old/installed: Tests/Integration/requirements-old.txt
	$(PYTHON) -m venv --clear venv-old
	venv-old/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

venv-thingsboard/installed: Tests/Integration/requirements-thingsboard.txt
	$(PYTHON) -m venv --clear venv-thingsboard
	venv-thingsboard/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

lint: ## check format and forbidden words, compile scripts and the C of the benches
	@$(DEPS) lint
	@$(STEP) "lint" .ci/lint

bench-http: build ## measure HTTP next to the C reference; ROUNDS=5 SLICE=1 PEERS=1
	@$(DEPS) bench
	@Tests/Benchmarks/bench-http $(NEARHUB)

bench-coap: build ## measure CoAP next to the C reference; ROUNDS=5 SLICE=1
	@$(DEPS) bench
	@Tests/Benchmarks/bench-coap $(NEARHUB)

bench-mqtt: build ## measure MQTT next to the C reference; ROUNDS=5 SLICE=1
	@$(DEPS) bench
	@Tests/Benchmarks/bench-mqtt $(NEARHUB)

bench-upstream: build ## measure the drain of a backlog next to a C publisher, and its memory; ROUNDS=3 COUNT=20000 BACKLOG=100000
	@$(DEPS) bench bench-store
	@$(STEP) "python packages" $(MAKE) --no-print-directory venv/installed
	@venv/bin/python Tests/Benchmarks/bench-upstream $(NEARHUB)

bench-footprint: build ## measure memory and size of the idle daemon
	@Tests/Benchmarks/bench-footprint $(NEARHUB)

bench-store: build ## measure starts on 100,000 and 1,000,000 devices, and memory per device; COUNTS="100000" ROUNDS=3
	@$(DEPS) bench-store
	@$(STEP) "python packages" $(MAKE) --no-print-directory venv/installed
	@venv/bin/python Tests/Benchmarks/bench-store $(NEARHUB)

install: ## install into DESTDIR (build first): binary, configuration, systemd unit, user
	@test -x $(NEARHUB) || { echo "make install: $(NEARHUB) is missing; run make first" >&2; exit 1; }
	@test -e $(PLUGIN) || { echo "make install: $(PLUGIN) is missing; run make first" >&2; exit 1; }
	install -D -m 755 $(NEARHUB) $(DESTDIR)/usr/bin/nearhub
	install -D -m 644 $(PLUGIN) $(DESTDIR)/usr/lib/nearhub/nearhub_mosquitto.so
	test -e $(DESTDIR)/etc/nearhub/nearhub.conf || install -D -m 644 etc/nearhub.conf $(DESTDIR)/etc/nearhub/nearhub.conf
	install -D -m 644 systemd/nearhub.service $(DESTDIR)/usr/lib/systemd/system/nearhub.service
	install -D -m 644 systemd/nearhub.sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/nearhub.conf
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/nearhub README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/nearhub/etc etc/nearhub.conf
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/nearhub/etc/mosquitto etc/mosquitto/*
	@test -n "$(DESTDIR)" || echo "start it: systemd-sysusers && systemctl daemon-reload && systemctl enable --now nearhub"

clean: ## remove what was built; ./state stays
	rm -rf .build venv venv-old venv-thingsboard
