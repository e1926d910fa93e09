#!/bin/bash
# Writes down which server of which ensemble this is, and becomes it.
set -euo pipefail

echo "$ZOO_MY_ID" >/data/myid
{
    printf '%s\n' dataDir=/data tickTime=2000 initLimit=5 syncLimit=2 maxClientCnxns=60 admin.enableServer=false
    printf '%s\n' standaloneEnabled=false 4lw.commands.whitelist=srvr
    tr ' ' '\n' <<<"$ZOO_SERVERS"
} >/conf/zoo.cfg

jars=/usr/share/java
exec java "-Xmx${ZK_SERVER_HEAP:-1000}m" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$jars/zookeeper.jar:$jars/slf4j-simple.jar:$jars/netty-codec.jar:$jars/netty-resolver.jar" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain /conf/zoo.cfg
