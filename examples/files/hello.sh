#!/bin/sh
# Fetched by remote-script.json.
while true; do
    echo "Hello from a fetched script, in $(pwd)"
    sleep 5
done
