#!/bin/sh
# Makes a token when the file has none, and becomes the program that reads it: with-token FILE PROGRAM [ARGUMENT...].
set -eu

file=$1
shift
umask 077
if [ ! -s "$file" ]; then
    token=$(od --address-radix=n --format=x1 --read-bytes=24 /dev/urandom | tr -d ' \n')
    # Whole or not at all, whatever happens to us in between.
    printf 'write %s\n' "$token" >"$file.new"
    mv "$file.new" "$file"
fi
exec "$@"
