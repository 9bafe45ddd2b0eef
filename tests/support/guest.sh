#!/bin/sh
# PID 1 of the test kernel (user-mode-linux): mounts what a Linux machine has, loads modules,
# runs pytest, powers off. The root is the host's, read-only; VM_RESULTS is the one folder that
# can be written to. VM_TREE is the checkout, VM_KEEP are folders that /tmp would hide,
# VM_PYTHON is the interpreter.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYINIT_IN_VM=1
export PYTHONPATH="$VM_TREE:$VM_TREE/control"
unset TERM

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
for folder in /dev/shm /run /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
chmod 755 /run
mount -t mqueue mqueue /dev/mqueue
ln -sf /proc/self/fd /dev/fd

for folder in $VM_TREE $VM_KEEP; do
    case $folder in
    /tmp/* | /run/* | /var/tmp/* | /dev/shm/*)
        mkdir -p "$folder"
        mount -t hostfs -o "ro,$folder" hostfs "$folder"
        ;;
    esac
done
mkdir -p "$VM_RESULTS"
mount -t hostfs -o "$VM_RESULTS" hostfs "$VM_RESULTS"

mount -t cgroup2 cgroup2 /sys/fs/cgroup
for name in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$name" >/sys/fs/cgroup/cgroup.subtree_control
done

# The kernel asks for modules by running this program, so what nftables needs comes by itself.
mkdir -p /run/kmod/lib
ln -s /usr/lib/uml/modules /run/kmod/lib/modules
printf '#!/bin/sh\nexec modprobe -d /run/kmod "$@"\n' >/run/kmod/modprobe
chmod 755 /run/kmod/modprobe
echo /run/kmod/modprobe >/proc/sys/kernel/modprobe
for name in overlay veth bridge nf_tables tun; do /run/kmod/modprobe "$name"; done

hostname vm
ip link set lo up
# Loading hypothesis, trio and coverage takes this kernel five seconds. A test file that wants a
# plugin says so: pytest_plugins = ["pytest_trio"].
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
cd "$VM_TREE" || echo "guest: no checkout at $VM_TREE"
"$VM_PYTHON" -m pytest "@$VM_RESULTS/arguments" </dev/null
sync
# When PID 1 returns the kernel panics, so it must not.
exec busybox poweroff -f
