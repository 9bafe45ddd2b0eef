#!/bin/sh
# What a test kernel runs: mounts what a Linux machine has, then pytest. The root is the host's,
# read-only or below overlays; VM_RESULTS is the one folder where writing reaches the host.
# VM_KERNEL names the kernel, VM_TREE is the checkout, VM_KEEP lists it and the other folders
# that must be seen although /tmp and /run are new, VM_PYTHON is the interpreter.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYINIT_IN_VM=1
export PYTHONPATH="$VM_TREE:$VM_TREE/control"
unset TERM TMPDIR

# user-mode-linux: this is PID 1 and nothing is there yet.
prepare_uml() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
    mkdir -p /dev/pts /dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs tmpfs /dev/shm
    ln -sf /proc/self/fd /dev/fd
    mount -t tmpfs -o mode=755 tmpfs /run
    keep_over /tmp /var/tmp
    mkdir -p "$VM_RESULTS"
    mount -t hostfs -o "$VM_RESULTS" hostfs "$VM_RESULTS"
    mount -t cgroup2 cgroup2 /sys/fs/cgroup

    # The kernel asks for modules by running this program, so what nftables needs comes by itself.
    mkdir -p /run/kmod/lib
    ln -s /usr/lib/uml/modules /run/kmod/lib/modules
    printf '#!/bin/sh\nexec modprobe -d /run/kmod "$@"\n' >/run/kmod/modprobe
    chmod 755 /run/kmod/modprobe
    echo /run/kmod/modprobe >/proc/sys/kernel/modprobe
    for name in overlay veth bridge nf_tables tun loop; do /run/kmod/modprobe "$name"; done
}

# virtme-ng: its init has mounted nearly all. Its /tmp is an overlay, which can't be the upper
# layer of another.
prepare_debian() {
    mount -o remount,gid=5,mode=620,ptmxmode=666 /dev/pts
    keep_over /tmp
    for name in overlay veth bridge nf_tables tun loop; do modprobe "$name"; done
}

# Mounts a tmpfs on each folder given, and what VM_KEEP and VM_RESULTS name again within it.
keep_over() {
    count=0
    for folder in $VM_KEEP $VM_RESULTS; do
        count=$((count + 1))
        mkdir -p /run/keep/$count
        mount --bind "$folder" /run/keep/$count
    done
    for folder in "$@"; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
    count=0
    for folder in $VM_KEEP $VM_RESULTS; do
        count=$((count + 1))
        mkdir -p "$folder" 2>/dev/null
        mount --bind /run/keep/$count "$folder"
        umount /run/keep/$count
    done
}

case $VM_KERNEL in
debian) prepare_debian ;;
*) prepare_uml ;;
esac
mkdir -p /dev/mqueue
mountpoint -q /dev/mqueue || mount -t mqueue mqueue /dev/mqueue
for name in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$name" >/sys/fs/cgroup/cgroup.subtree_control
done
hostname vm
ip link set lo up

# Loading hypothesis, trio and coverage takes this kernel five seconds. A test file that wants a
# plugin says so: pytest_plugins = ["pytest_trio"].
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
cd "$VM_TREE" || echo "guest: no checkout at $VM_TREE"
"$VM_PYTHON" -m pytest "@$VM_RESULTS/arguments" </dev/null
sync
# When PID 1 returns the kernel panics, so it must not.
[ $$ != 1 ] || exec busybox poweroff -f
