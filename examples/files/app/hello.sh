#!/bin/sh
# Packed into app.tar.gz, fetched and unpacked by archive.json.
while true; do
    echo "Hello from $(dirname "$0"), which came as an archive"
    sleep 5
done
