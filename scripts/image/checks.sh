# shellcheck shell=bash disable=SC2154,SC2034 # Part of scripts/test-image, which sets store, work, here and image, and reads the counts.
# What the image is tried with. Each function is a situation, each line of output one check of it.

passed=0
failed=0
port=18080
# A host of containers may have lower limits than podman would set.
limits=(--ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit nproc=4096:4096)
# What a careful operator takes from a container.
hardened=(--read-only --read-only-tmpfs=false --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges)

# check TEXT COMMAND...: what the command prints is shown where it fails.
check() {
    if "${@:2}" >"$work/said" 2>&1; then
        echo "ok      $1"
        passed=$((passed + 1))
    else
        echo "FAILED  $1"
        sed 's/^/        /' "$work/said" | tail -n 25
        failed=$((failed + 1))
    fi
}

# tell TEXT: what was measured, and no check.
tell() {
    echo "        $1"
}

# The scripted model, where containers find it.
start_model() {
    scripts/sdk-environments python-new >>"$log" 2>&1 || fail "the SDK cannot be installed: $(tail -n 3 "$log")"
    python=$(cd "${CARGO_TARGET_DIR:-target}/sdk/python-new/bin" && pwd)/python
    host=$(podman network inspect podman | sed -n 's/.*"gateway": "\(.*\)".*/\1/p')
    # The address is there as long as a container is, so it cannot be bound to before.
    "$python" scripts/image/model.py 0.0.0.0 0 >"$work/model.port" 2>"$work/model.log" &
    children+=($!)
    until [ -s "$work/model.port" ]; do sleep 0.1; done
    model=http://$host:$(<"$work/model.port")/v1
}

# start NAME [OPTION...]: a container, and waits until its own health check is content.
start() {
    local name=$1
    podman run --detach --name "$name" "${limits[@]}" --env LOCUM_MODEL_URL="$model" "${@:2}" "$image" >/dev/null || return 1
    is_healthy "$name" || {
        podman logs "$name" 2>&1 | tail -n 20
        return 1
    }
}

# Two minutes: a new cluster on a busy machine.
is_healthy() {
    local tries
    for ((tries = 0; tries < 120; tries++)); do
        if podman healthcheck run "$1" >/dev/null 2>&1; then return 0; fi
        [ "$(podman inspect --format '{{.State.Status}}' "$1")" = running ] || return 1
        sleep 1
    done
    return 1
}

# stop NAME SECONDS: it ends in order by itself, and nobody kills it; prints how long that took.
stop() {
    local begun=$SECONDS
    podman stop --time "$2" "$1" >/dev/null || return 1
    took=$((SECONDS - begun))
    [ "$(podman inspect --format '{{.State.ExitCode}}' "$1")" = 0 ] || {
        podman logs "$1" 2>&1 | tail -n 20
        return 1
    }
}

# The key that the first start has printed.
key_of() {
    podman logs "$1" 2>/dev/null | sed -n 's/^\(lk_.*\)$/\1/p'
}

# client COMMAND ARGUMENT, with the present key and port.
client() {
    LOCUM_TEST_URL=http://127.0.0.1:$port/v1 LOCUM_TEST_KEY=$key "$python" scripts/image/client.py "$@"
}

tier_of() {
    podman exec "$1" locum health | sed -n 's/.*"sandbox":"\([a-z]*\)".*/\1/p'
}

# answers CODE OUTPUT: a run whose model writes this code.
answers() {
    local said
    said=$(client answer "Run this:
$1") || return 1
    [[ $said == "Tool said: $2"* ]] || { echo "$said" && return 1; }
}

equals() {
    [ "$1" = "$2" ] || { echo "'$1' is not '$2'" && return 1; }
}

# Processes that ended and were never asked how.
no_zombies() {
    local states
    states=$(podman exec "$1" sh -c 'cat /proc/[0-9]*/stat' | sed 's/.*) \(.\).*/\1/' | grep -c Z || true)
    equals "$states" 0
}

check_image() {
    local size
    echo "the image"
    size=$(podman image inspect --format '{{.Size}}' "$image")
    tell "$((size / 1000000)) MB"
    check "it runs as a user that is not root" equals "$(podman image inspect --format '{{.User}}' "$image")" 10001
    check "its labels are those of OCI" test -n \
        "$(podman image inspect --format '{{index .Labels "org.opencontainers.image.revision"}}' "$image")"
    # The environment, the layers' files, and what registries are asked with.
    check "nothing of this machine is in it" podman run --rm --entrypoint sh "${limits[@]}" "$image" -c \
        'test ! -e /root/.cargo && ! env | grep -i -e proxy -e token && test ! -e /build && ! command -v cargo && ! command -v gcc'
}

check_embedded() {
    echo "one container with a volume"
    local volume=(--volume locum:/data --publish "127.0.0.1:$port:8080")
    check "it starts, and its health check is content" start one "${volume[@]}"
    key=$(key_of one || true)
    check "the first start prints a key" test -n "$key"
    tell "sandbox: $(tier_of one)"
    check "the official SDK's flows work (tests/sdk/flows_v2.py)" env LOCUM_TEST_SCRIPTED=1 LOCUM_TEST_KEY="$key" \
        LOCUM_TEST_URL="http://127.0.0.1:$port/v1" "$python" tests/sdk/flows_v2.py
    check "objects of every kind are made" client make "$work/objects"
    check "a command beside the server makes a key" podman exec one locum keys create --project other
    check "a server that does not listen is not healthy" not podman exec --env LOCUM_BIND=127.0.0.1:9 one locum health
    check "no zombies are left" no_zombies one

    check "a run is under way" client begin "$work/run"
    check "SIGTERM ends it before docker stop would kill" stop one 10
    tell "stopped after $took s, with a run of ten seconds under way"
    check "PostgreSQL was shut down in order" postgres_is_down
    podman rm one >/dev/null
    check "another container starts on the volume" start two "${volume[@]}"
    check "it prints no key" test -z "$(key_of two)"
    check "all is there, by the same key" client compare "$work/objects"
    check "the run that was cut off ends" equals "$(client end "$work/run")" completed

    check "a container is killed" podman kill --signal KILL two
    podman rm --force two >/dev/null
    check "another one starts after that" start three "${volume[@]}"
    check "nothing is lost" client compare "$work/objects"
    check "it ends in order" stop three 10
    podman rm three >/dev/null
}

postgres_is_down() {
    podman run --rm --volume locum:/data --entrypoint tail "${limits[@]}" "$image" -n 1 /data/postgres.log | grep 'database system is shut down'
}

not() {
    ! "$@"
}

# As clusters run containers: a number that no list of users has, in group 0, with nothing to write on but volumes.
check_other_user() {
    echo "an arbitrary user, a read-only root, no capabilities"
    local options=("${hardened[@]}" --user 54321:0 --passwd=false --volume other:/data --publish "127.0.0.1:$port:8080")
    check "it starts with a private PostgreSQL" start one "${options[@]}"
    key=$(key_of one || true)
    check "its user has no name" not podman exec one id -nu
    tell "sandbox: $(tier_of one)"
    check "code of a model runs" answers "print(6 * 7)" 42
    check "objects of every kind are made" client make "$work/others"
    check "it ends in order" stop one 10
    podman rm one >/dev/null
    check "another one starts on the volume" start two "${options[@]}"
    check "all is there" client compare "$work/others"
    check "it ends in order" stop two 10
    podman rm two >/dev/null
}

# A PostgreSQL of this machine, which containers reach.
start_postgres() {
    local bin subnet
    bin=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)
    bin=${bin%/initdb}
    subnet=$(podman network inspect podman | sed -n 's/.*"subnet": "\(.*\)".*/\1/p')
    mkdir "$work/postgres"
    chmod 711 "$work"
    chown postgres "$work/postgres"
    (
        cd "$work/postgres"
        runuser -u postgres -- "$bin/initdb" -D data -U locum --auth=trust --encoding=UTF8 --locale=C --no-sync
        echo "host all locum $subnet trust" >>data/pg_hba.conf
        runuser -u postgres -- "$bin/pg_ctl" -D data -w -l server.log \
            -o "-c listen_addresses=* -c port=18432 -c unix_socket_directories=$work/postgres -c fsync=off" start
        psql -X -h "$work/postgres" -p 18432 -U locum -d postgres -c 'create database locum'
    ) >>"$log" 2>&1 || fail "PostgreSQL did not start: $(tail -n 3 "$log")"
    children+=("$(head -n 1 "$work/postgres/data/postmaster.pid")")
}

check_stateless() {
    echo "two nodes with DATABASE_URL, which keep nothing, and the proxy of compose.yaml"
    start_postgres
    local options=("${hardened[@]}" --tmpfs /data:mode=0770 --env "DATABASE_URL=postgres://locum@$host:18432/locum" --volume files:/files
        --env LOCUM_FILES_URL=file:///files --user 10001:0)
    # A volume is root's where the image has no such folder.
    podman run --rm --user 0:0 --volume files:/files --entrypoint chmod "${limits[@]}" "$image" 0777 /files
    check "one starts" start one "${options[@]}" --publish "127.0.0.1:$port:8080"
    check "another starts" start two "${options[@]}" --publish "127.0.0.1:$((port + 1)):8080"
    key=$(podman exec one locum keys create --project default || true)
    check "objects of every kind are made at one" client make "$work/shared"
    port=$((port + 1)) check "the other has them" client compare "$work/shared"
    port=$((port + 1)) check "the other runs code of a model" answers "print(6 * 7)" 42
    check "no PostgreSQL of its own runs" not podman exec one sh -c 'cat /proc/[0-9]*/cmdline | grep -a "[b]in/postgres"'
    start_proxy
    check "the SDK's flows work through the proxy" env LOCUM_TEST_SCRIPTED=1 LOCUM_TEST_KEY="$key" \
        LOCUM_TEST_URL="http://127.0.0.1:$((port + 2))/v1" "$python" tests/sdk/flows_v2.py
    check "one ends in order" stop one 10
    port=$((port + 2)) check "the proxy goes on with the other" client compare "$work/shared"
    check "the other ends in order" stop two 10
    podman rm one two >/dev/null
}

# The nginx of this machine with the settings of the one in compose.yaml.
start_proxy() {
    mkdir "$work/nginx"
    sed -e "s/locum-1:8080/127.0.0.1:$port/; s/locum-2:8080/127.0.0.1:$((port + 1))/; s/listen 8080/listen 127.0.0.1:$((port + 2))/" \
        -e "s|/tmp/|$work/nginx/|" deploy/nginx.conf >"$work/nginx.conf"
    nginx -c "$work/nginx.conf" -e "$work/nginx.log" -g 'daemon off;' >>"$log" 2>&1 &
    children+=($!)
    until curl --silent --output /dev/null "http://127.0.0.1:$((port + 2))/healthz"; do
        kill -0 $! 2>/dev/null || fail "nginx does not start: $(tail -n 3 "$work/nginx.log")"
        sleep 0.2
    done
}

# Which sandbox there is under which rules for system calls, and that code runs in it.
check_tiers() {
    echo "the sandbox, by what the container may do"
    scripts/image/seccomp.py /usr/share/containers/seccomp.json >"$work/seccomp.json"
    tier "with podman's rules" landlock
    tier "with rules like Docker's" landlock --security-opt "seccomp=$work/seccomp.json"
    tier "as root, with rules like Docker's" landlock --user 0:0 --security-opt "seccomp=$work/seccomp.json"
    tier "with no rules and the whole /proc" namespaces --security-opt seccomp=unconfined --security-opt unmask=ALL
}

# tier TEXT EXPECTED [OPTION...]
tier() {
    local text=$1 expected=$2
    check "$text: it starts" start one --volume "tier:/data" --env LOCUM_API_KEYS=lk_tier --publish "127.0.0.1:$port:8080" "${@:3}"
    key=lk_tier
    check "$text: $expected" equals "$(tier_of one)" "$expected"
    check "$text: code of a model runs" answers "import numpy; print(numpy.full(5, 2).sum())" 10
    check "$text: no zombies are left" no_zombies one
    check "$text: it ends in order" stop one 10
    podman rm --force one >/dev/null
    podman volume rm --force tier >/dev/null
}
