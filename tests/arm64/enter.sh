#!/bin/sh
# enter.sh ROOT CPU COMMAND...: run a command in an arm64 root, on the processor that qemu calls CPU.
#
# Called again by itself in a mount namespace of its own, so that nothing stays mounted afterwards.
set -eu
root=$1 cpu=$2
if [ -z "${ENTERED:-}" ]; then
  ENTERED=1 exec unshare --mount --propagation private sh "$0" "$@"
fi
shift 2

# The kernel is told what runs ARM programs, unless the system has told it: qemu-user-static says how.
handlers=/proc/sys/fs/binfmt_misc
[ -e $handlers/register ] || mount -t binfmt_misc binfmt_misc $handlers
if [ ! -e $handlers/qemu-aarch64 ]; then
  trap '{ echo -1 > $handlers/qemu-aarch64; } 2> /dev/null || true' EXIT
  # In one write, as the kernel wants it. F: the interpreter is opened here and now, outside of the root.
  sed "s#:[^:]*:OPF\$#:$(command -v qemu-aarch64-static):OPF#" /usr/lib/binfmt.d/qemu-aarch64.conf |
    cat > $handlers/register
fi

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
  QEMU_CPU="$cpu" chroot "$root" "$@"; }

if [ ! -e "$root/debootstrap" ]; then # its second stage mounts what it needs itself
  mount -t proc proc "$root/proc"
  mount --bind /dev "$root/dev"
  mount -t sysfs -o ro sysfs "$root/sys"
  inside python3 - "$cpu" < "$(dirname "$0")/cpuinfo.py" > "$root/srv/cpuinfo"
  mount --bind "$root/srv/cpuinfo" "$root/proc/cpuinfo"
fi
inside "$@"
