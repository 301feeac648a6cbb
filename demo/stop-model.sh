#!/usr/bin/env bash
# Stops what start-model.sh started from the same MODEL_HOME.
set -euo pipefail

MODEL_HOME=${MODEL_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/locum-model}
for kind in chat embed; do
    file=$MODEL_HOME/run/$kind.pid
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    # The command line is compared because a pid may have been given to another process since.
    command_line=$({ tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null || true)
    if [[ $command_line == *"/serve_model.py $kind "* ]]; then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid" 2>/dev/null || true; fi
        echo "stopped $kind, pid $pid"
    fi
    rm -f "$file"
done
