GO ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT = $(GO) run mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0
FUZZTIME ?= 30s
BENCHTIME ?= 200ms

.PHONY: build deb run test soak check bench fuzz docs vuln install-test-tools

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/candor ./cmd/candor

# A Debian package in dist/, the same for the same commit.
deb:
	sh packaging/deb.sh

# The main job on loopback: two accounts, a message sent and read back; stays up until Ctrl-C.
run: build
	bin/candor demo

# Everything, against real clients and servers, with the race detector.
test: install-test-tools
	$(GO) test -race -timeout 14m ./...

# The long forms of the tests that load, kill and starve the server: hours. One package after the other.
soak: install-test-tools
	CANDOR_SOAK=1 $(GO) test -p 1 -timeout 12h ./...

install-test-tools:
	@sh test/install.sh

check:
	@fmt=$$($(GOFUMPT) -l cmd internal test) && test -z "$$fmt" || { echo "gofumpt would change: $$fmt"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) test ./internal

# Each benchmark for BENCHTIME; one package after the other, so that they do not disturb one another.
bench:
	$(GO) test -p 1 -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# Each fuzz target for FUZZTIME.
fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
		done; \
	done

# The parts of docs/manual that are made from the code.
docs:
	$(GO) test ./cmd/candor -run CLIReference -update

vuln:
	$(GOVULNCHECK) ./...
