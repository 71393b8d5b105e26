# One binary, on a slim Debian, as nobody in particular.
#
#   docker build -t mayfly .
#   docker run -p 5555:5555 -v /srv/mayfly:/var/lib/mayfly mayfly
#
# The volume holds mayfly.yaml (what `mayfly init` writes), the database and the keys; how to make them: docs/operating.md,
# "In a container".

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin mayfly \
    && install -D target/dist/mayfly /out/mayfly

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/mayfly --create-home mayfly
COPY --from=build /out/mayfly /usr/local/bin/mayfly
USER 10001
WORKDIR /var/lib/mayfly
VOLUME /var/lib/mayfly
EXPOSE 5555
# bash speaks enough HTTP to spare the image a client. Behind TLS of its own, give it another check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/5555 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["mayfly"]
CMD ["serve", "--listen", "0.0.0.0:5555"]
