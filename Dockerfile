# The image of Locum: docs/deployment.md says how to run it. `make test-image` builds and tries it without a Docker engine.
#
#   docker build -t locum .
#
# One node needs nothing else: without DATABASE_URL it runs a private PostgreSQL on the volume /data.

FROM docker.io/library/rust:1.95.0-slim-trixie AS build
WORKDIR /build
# All crates, in a layer that only a change of the list of dependencies makes anew.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked --bin locum \
    && rm -r src
COPY .sqlx .sqlx
COPY migrations migrations
COPY src src
# Their times are those of the repository, older than what was built of the empty ones.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin locum \
    && cp target/release/locum /usr/local/bin/

FROM docker.io/library/debian:trixie-slim
# Left out: what PostgreSQL compiles queries with, which Locum's are too short for (150 MB), and data that nothing here reads.
RUN printf 'path-exclude=%s\n' \
        '/usr/lib/*/libLLVM*' '/usr/lib/*/libz3.*' '/usr/lib/postgresql/*/lib/llvmjit*' '/usr/lib/postgresql/*/lib/bitcode/*' \
        '/usr/share/javascript/*' '/usr/share/unicode/*' \
        > /etc/dpkg/dpkg.cfg.d/locum
# PostgreSQL for a node without DATABASE_URL, where Debian's package shall not make a cluster of its own; bubblewrap, Python and its
# libraries for code_interpreter. libnss-wrapper gives a user that has no name the one that initdb asks for.
RUN mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/locum.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bubblewrap \
        ca-certificates \
        libnss-wrapper \
        postgresql-17 \
        postgresql-17-pgvector \
        python3 \
        python3-matplotlib \
        python3-numpy \
        python3-openpyxl \
        python3-pandas \
        python3-pil \
        python3-pypdf \
    && cd /usr/lib/python3/dist-packages \
    && find matplotlib pandas scipy sympy -type d -name tests -prune -exec rm -r {} + \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
# Volumes made from this folder are the user's and group 0's: clusters that run containers as a number of their own put it into that. Where
# root runs Locum, PostgreSQL is another user and passes through.
RUN useradd --system --uid 10001 --gid 0 --home-dir /data --no-create-home --shell /usr/sbin/nologin locum \
    && install -d -o locum -g 0 -m 0771 /data
COPY --from=build /usr/local/bin/locum /usr/local/bin/locum
COPY LICENSE /usr/share/doc/locum/LICENSE

# `docker stop` waits ten seconds, then kills. Where more is allowed, let runs have more (docs/deployment.md).
ENV LOCUM_BIND=0.0.0.0:8080 \
    LOCUM_DATA_DIR=/data \
    LOCUM_SHUTDOWN_SECONDS=5 \
    LOCUM_CLOSE_SECONDS=1
# A number: Kubernetes does not take a name for runAsNonRoot.
USER 10001
VOLUME /data
EXPOSE 8080
# The first start makes a cluster.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["locum", "health"]
ENTRYPOINT ["locum"]
CMD ["serve"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Locum" \
    org.opencontainers.image.description="A self-hosted server for the OpenAI Assistants API" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
