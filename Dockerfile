# The image of the operator, the webhooks and the Jobs: one static-ish binary, restic and CA certificates.
# Build: make image. Without an engine or a registry: make image-archive.
FROM docker.io/library/rust:1.95-slim-trixie AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src ./src
COPY manifests ./manifests
# As in the Makefile: crates for size, the link for speed.
RUN cargo rustc --release --locked --bin kubectl-kubestash -- -C opt-level=3

FROM docker.io/library/debian:trixie-slim AS tools
RUN apt-get update && apt-get install -y --no-install-recommends restic ca-certificates && rm -rf /var/lib/apt/lists/*

FROM docker.io/library/debian:trixie-slim
LABEL org.opencontainers.image.title="kubectl-kubestash" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=tools /usr/bin/restic /restic
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/kubectl-kubestash /kubestash
USER 65534:65534
ENTRYPOINT ["/kubestash"]
