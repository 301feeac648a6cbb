# shellcheck shell=bash disable=SC2154 # Part of scripts/test-image, which sets store, work, base and rust_base.
# What the image is built with and on.

install_programs() {
    local packages=() program
    for program in podman buildah runc debootstrap; do
        command -v "$program" >/dev/null || packages+=("$program")
    done
    # Networks of containers.
    [ -x /usr/lib/podman/netavark ] || packages+=(netavark)
    command -v iptables >/dev/null || packages+=(iptables)
    # For the proxy of compose.yaml.
    command -v nginx >/dev/null || packages+=(nginx-light)
    scripts/install-tools
    [ ${#packages[@]} -gt 0 ] || return 0
    echo "test-image: installing ${packages[*]}"
    { apt-get -qq update || true; } >>"$log" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >>"$log" 2>&1 ||
        fail "apt-get could not install ${packages[*]}: $(tail -n 3 "$log")"
}

# has IMAGE
has() {
    podman image exists "$1"
}

make_bases() {
    has "$base" || make_debian
    has "$rust_base" || make_rust
}

# As Debian's own slim images: without manuals and translations, which apt then leaves out as well.
make_debian() {
    local root=$work/debian mirror=http://deb.debian.org
    echo "test-image: making $base"
    debootstrap --variant=minbase trixie "$root" "$mirror/debian" >>"$log" 2>&1 || fail "debootstrap: $(tail -n 3 "$log")"
    rm -f "$root/etc/apt/sources.list" "$root/etc/resolv.conf"
    cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: $mirror/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $mirror/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    printf '%s\n' 'path-exclude=/usr/share/doc/*' 'path-include=/usr/share/doc/*/copyright' 'path-exclude=/usr/share/info/*' \
        'path-exclude=/usr/share/man/*' 'path-exclude=/usr/share/locale/*' >"$root/etc/dpkg/dpkg.cfg.d/docker"
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$root"/usr/share/{info,man,locale}/* "$root"/var/cache/apt/{*.bin,archives/*.deb} "$root"/var/{lib/apt/lists,log}/*
    tar -C "$root" --numeric-owner -c . | podman import - "$base" >>"$log" 2>&1 || fail "podman import: $(tail -n 3 "$log")"
    rm -rf "$root"
}

# This machine's Rust, and what this machine trusts: the crates come from the registry that it reaches.
make_rust() {
    local toolchain certificates=/etc/ssl/certs/ca-certificates.crt
    toolchain=$(rustc --print sysroot)
    [[ $("$toolchain/bin/rustc" --version) == "rustc $rust "* ]] || fail "Rust $rust is not here"
    echo "test-image: making $rust_base"
    cat >"$work/rust" <<CONTAINERFILE
FROM $base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && cp /run/certificates $certificates
COPY bin/cargo bin/rustc /usr/local/rust/bin/
COPY lib /usr/local/rust/lib
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo
CONTAINERFILE
    build --file "$work/rust" --volume "$certificates:/run/certificates:ro" --tag "$rust_base" "$toolchain"
}
