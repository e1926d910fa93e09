# Debian's ZooKeeper, where the official image cannot be had: it takes from ZOO_MY_ID, ZOO_SERVERS and ZK_SERVER_HEAP what that one takes.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
LABEL headkeeper=stand-in
RUN export DEBIAN_FRONTEND=noninteractive; \
    apt-get --quiet=2 update && \
    apt-get --quiet=2 install --yes --no-install-recommends default-jre-headless libzookeeper-java libslf4j-java libnetty-java && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb && \
    install --directory --owner 1000 --group 1000 /conf /data
COPY zookeeper-entrypoint.sh /usr/local/bin/zookeeper-entrypoint
USER 1000:1000
VOLUME ["/data"]
EXPOSE 2181 2888 3888
ENTRYPOINT ["zookeeper-entrypoint"]
