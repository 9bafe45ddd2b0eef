#!/bin/sh
# The Debian packages that tests, benchmarks and test kernels need, and why; installs those that
# are missing, when root. No service is started.
#   tools/packages.sh list  SET...     the names
#   tools/packages.sh check SET...     the missing ones; fails when there are any
#   tools/packages.sh install SET...   installs the missing ones
# SET is test, bench or vm.
set -eu

names() {
    case $1 in
    test) sed 's/ *#.*//' <<'LIST' ;;
tini              # the entrypoint's options, signals and codes are compared with theirs
dumb-init         # the same
busybox-static    # a root file system with no libc and no Python in it
mmdebstrap        # a Debian root with Apache and PostgreSQL
user-mode-linux   # a kernel with cgroup v2, booted in two seconds
kmod              # loads the modules of that kernel
iproute2          # looks at the network as others see it (tests only, pyinit never calls it)
procps            # ps and pgrep as others see a container's processes
e2fsprogs         # a file system on a disk of a test's own
strace            # counts wake-ups and system calls
zsh               # completes command lines of pyinit-ctl
fish              # the same
tmux              # a real terminal for exec -t
less              # opens, is resized and quits in that terminal
vim-tiny          # the same
runc              # pyinit as the entrypoint of somebody else's container, in the test kernel
systemd-container # the same
podman            # the same, with examples/Containerfile and the pod
crun              # what podman starts containers with
catatonit         # PID 1 of podman's pods; a peer of the benchmarks
lxc               # the same
openssh-client    # exec over ssh's own stream
openssh-server    # the other end of it, on loopback
perl              # a client in another language than Python, with perl's core modules
socat             # carries the socket through ssh; bench
uidmap            # newuidmap and newgidmap, for rootless containers with a range of ids
libseccomp2       # what pyseccomp loads
libcap2-bin       # capsh and getpcaps tell a process's capabilities
gcc               # a hostile libnss and other payloads in C
libc6-dev         # the same
LIST
    bench) sed 's/ *#.*//' <<'LIST' ;;
lxc               # peer that is a way in: lxc-attach
tini              # peers that are PID 1
dumb-init
catatonit
bubblewrap        # peers that make containers
runc
systemd-container
dropbear-bin      # peers that are a way in
openssh-server
openssh-client
socat
supervisor        # peer that supervises
hyperfine         # times whole processes
LIST
    vm) sed 's/ *#.*//' <<'LIST' ;;
linux-image-amd64 # Debian's kernel: the cloud image lacks 9p
qemu-system-x86   # runs it without /dev/kvm
LIST
    *)
        echo "packages: no such set: $1 (test, bench or vm)" >&2
        exit 2
        ;;
    esac
}

all_names() {
    for set in "$@"; do names "$set"; done | sort -u
}

missing() {
    all_names "$@" | while read -r name; do
        state=$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null) || state=
        [ "$state" = installed ] || echo "$name"
    done
}

# Maintainer scripts ask this program before they start a service; 101 means "not allowed".
forbid_services() {
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] && return 0
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install() {
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "packages: not installing, only root can:" $packages >&2
        return 0
    fi
    echo "packages: installing" $packages >&2
    forbid_services
    # Lists may be missing or old; what they name may be gone from the mirror.
    apt install $packages >/dev/null 2>&1 || { apt update && apt install $packages >/dev/null; }
}

verb=${1:-}
[ $# -ge 2 ] || {
    echo "usage: $0 list|check|install test|bench|vm..." >&2
    exit 2
}
shift
case $verb in
list) all_names "$@" ;;
check)
    packages=$(missing "$@")
    [ -z "$packages" ] || {
        echo "$packages"
        exit 1
    }
    ;;
install) install "$@" ;;
*)
    echo "packages: no such verb: $verb" >&2
    exit 2
    ;;
esac
