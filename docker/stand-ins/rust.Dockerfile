# A compiler for Rust, where the official image cannot be had: the toolchain of the machine that makes it, which trusts whom that one trusts.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
LABEL headkeeper=stand-in
RUN export DEBIAN_FRONTEND=noninteractive; \
    apt-get --quiet=2 update && apt-get --quiet=2 install --yes --no-install-recommends gcc libc6-dev && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
COPY toolchain /opt/rust
COPY ca-certificates.crt /etc/ssl/certs/
ENV PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_HOME=/opt/cargo CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt
