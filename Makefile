# Two commands do all the set-up on a fresh Debian or Ubuntu machine with Rust:
#   make demo    a real backup and a real restore in a sandbox, no cluster needed
#   make test    formatting, lints and all tests
export PATH := $(PATH):$(HOME)/.local/bin
export KUBESTASH_S3_SERVER ?= $(CURDIR)/target/tools/s3/bin/moto_server
IMAGE ?= ghcr.io/kubestash-open/kubectl-kubestash:v$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The crates are built for size (Cargo.toml), and the link joins them for speed: in a link for size the loops of what decrypts
# stay rolled, and a download takes a tenth longer.
RELEASE := cargo rustc --release --locked --bin kubectl-kubestash -- -C opt-level=3

.PHONY: demo test build bench image image-archive install clean

demo: ## Shows a backup and a restore, for real, in under a minute after the build
	@scripts/need cc restic s3
	$(RELEASE)
	target/release/kubectl-kubestash sandbox demo

test: ## Installs what the tests need, then formatting, lints (warnings denied) and all tests
	@scripts/need cc restic kubectl s3 azure shells promtool
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --lib --bins --tests

build: ## The plugin, optimised
	$(RELEASE)

bench: ## Ratios in one run; see benches/run
	@scripts/need cc restic kubectl s3
	$(RELEASE)
	benches/run

install: build ## Puts the plugin on PATH (PREFIX=/usr/local)
	install -m 755 target/release/kubectl-kubestash $(or $(PREFIX),/usr/local)/bin/

image: ## The image, with a container engine
	docker build -t $(IMAGE) .

image-archive: build ## The image as an archive, without an engine or a registry: target/image.tar
	@scripts/need restic
	scripts/image-archive $(IMAGE) target/image.tar

clean:
	cargo clean
