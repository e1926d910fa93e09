#!/bin/bash
# Whether what listens on a port of this machine answers as it should: answers line PORT, answers ready PORT. For health checks.
set -euo pipefail

what=$1 port=$2
exec 3<>"/dev/tcp/127.0.0.1/$port"
case $what in
line)
    IFS= read -r -t 2 answer <&3
    [[ -n $answer ]]
    ;;
ready)
    printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r -t 2 _ status _ <&3
    [[ $status == 200 ]]
    ;;
*)
    echo "accepted: line PORT, ready PORT" >&2
    exit 2
    ;;
esac
