#!/bin/sh
# run.sh [FOLDER] [CPU...]: the engine on 64-bit ARM, in a Debian root of its own under qemu.
#
# FOLDER (data/arm64) takes 2 GB and is kept: a second call goes straight to the comparison.
# CPU: as qemu names them; the Raspberry Pi 5 has a cortex-a76.
# Needs Debian with qemu-user-static and debootstrap, and root for chroot.
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-data/arm64}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cortex-a76 max
root=$folder/root
enter=tests/arm64/enter.sh

for tool in debootstrap qemu-aarch64-static; do
  command -v $tool > /dev/null || { echo "$tool is missing: apt install debootstrap qemu-user-static" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "chroot and debootstrap need root: sudo make arm64" >&2; exit 1; }
mkdir -p "$folder"

if [ ! -e "$folder/made" ]; then
  rm -rf "$root"
  debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,python3-venv bookworm "$root"
  sh $enter "$root" cortex-a76 /debootstrap/debootstrap --second-stage
  touch "$folder/made"
fi

echo "== a wheel for 64-bit ARM of every pin, source builds not allowed"
.venv/bin/python tests/arm64/pins.py 3.11 > "$folder/pins.txt"
if ! cmp -s "$folder/pins.txt" "$folder/wheels/pins.txt"; then
  rm -rf "$folder/wheels"
  .venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
    --dest "$folder/wheels" --requirement "$folder/pins.txt" "setuptools>=77"
  cp "$folder/pins.txt" "$folder/wheels/"
fi
find "$folder/wheels" -name '*.whl' | sed 's/.*-//' | sed 's/.*\(any\|aarch64\).*/\1/' | sort | uniq -c

rm -rf "$root/srv/bot"
mkdir -p "$root/srv/bot"
cp -r bot handlers config tests pyproject.toml constraints.txt README.md LICENSE "$root/srv/bot/"

echo "== pip in the root, with these wheels alone and the rules of pyproject.toml and constraints.txt"
if ! cmp -s "$folder/pins.txt" "$root/srv/installed" || ! cmp -s pyproject.toml "$root/srv/pyproject.toml"; then
  rm -rf "$root/srv/wheels"
  cp -rl "$folder/wheels" "$root/srv/wheels"
  sh $enter "$root" cortex-a76 sh -euc '
    cd /srv/bot
    python3 -m venv /srv/venv
    /srv/venv/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile --quiet \
      --no-index --find-links /srv/wheels --constraint constraints.txt --editable ".[dev]"
    /srv/venv/bin/python -m pip check'
  cp "$folder/pins.txt" "$root/srv/installed"
  cp pyproject.toml "$root/srv/pyproject.toml"
fi

echo "== here"
rm -rf "$root/srv/model"
PYTHONPATH=.:tests/models .venv/bin/python tests/arm64/small_answers.py write "$root/srv/model"

failed=0
for cpu; do
  echo "== 64-bit ARM, $cpu"
  sh $enter "$root" "$cpu" sh -c '
    cd /srv/bot && export PYTHONPATH=. MODEL_DIR=/srv/model && grep -m 1 Features /proc/cpuinfo
    /srv/venv/bin/python tests/arm64/small_answers.py compare /srv/model || exit 1
    echo "-- doctor: a random model, and no Slack"
    /srv/venv/bin/python -m bot doctor || true' || failed=1
done
exit $failed
