#!/bin/sh
# run.sh [FOLDER] [CPU...]: the whole bot on 64-bit ARM, in a Debian root of its own under qemu.
#
# FOLDER (data/arm64) takes 2 GB and is kept: a second call goes straight to the comparison.
# CPU: as qemu names them; the Raspberry Pi 4 has a cortex-a72, the Raspberry Pi 5 a cortex-a76.
# Needs Debian with qemu-user-static and debootstrap, and root for chroot.
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-data/arm64}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cortex-a72 cortex-a76 max
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
  sh $enter "$root" cortex-a72 /debootstrap/debootstrap --second-stage
  touch "$folder/made"
fi

echo "== a wheel for 64-bit ARM of every pin, source builds not allowed"
{ .venv/bin/python tests/arm64/pins.py 3.11 && printf 'setuptools>=77\nziglang>=0.15\n'; } > "$folder/pins.txt"
if ! cmp -s "$folder/pins.txt" "$folder/wheels/pins.txt"; then
  rm -rf "$folder/wheels"
  .venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
    --dest "$folder/wheels" --requirement "$folder/pins.txt"
  cp "$folder/pins.txt" "$folder/wheels/"
fi
find "$folder/wheels" -name '*.whl' | sed 's/.*-//' | sed 's/.*\(any\|aarch64\).*/\1/' | sort | uniq -c

# All but the kernels' library: this machine's has no use there, and the root's own takes minutes to compile.
mkdir -p "$root/srv/bot"
find "$root/srv/bot" -type f ! -name kernels.so -delete
tar --create --exclude='*.so' --exclude=__pycache__ \
  bot handlers config tests pyproject.toml constraints.txt README.md LICENSE | tar --extract --directory "$root/srv/bot"

echo "== pip in the root, with these wheels alone; no compiler is there, so that pip takes ziglang's"
cat "$folder/pins.txt" pyproject.toml bot/engine/kernels/build_* bot/engine/kernels/*.[ch] > "$folder/install.txt"
if ! cmp -s "$folder/install.txt" "$root/srv/installed"; then
  rm -rf "$root/srv/wheels" "$root/srv/installed"
  cp -rl "$folder/wheels" "$root/srv/wheels"
  sh $enter "$root" cortex-a72 sh -euc '
    cd /srv/bot
    rm -f bot/engine/kernels/kernels.so
    python3 -m venv /srv/venv
    /srv/venv/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile --quiet \
      --no-index --find-links /srv/wheels --constraint constraints.txt --editable .
    /srv/venv/bin/python -m pip check
    test -e bot/engine/kernels/kernels.so'
  cp "$folder/install.txt" "$root/srv/installed"
fi

echo "== here"
rm -rf "$root/srv/small" "$root/srv/starter"
.venv/bin/python -m bot prepare models/starter
mkdir "$root/srv/starter"
cp -rl models/starter/. "$root/srv/starter" 2> /dev/null || cp -r models/starter/. "$root/srv/starter"
PYTHONPATH=.:tests/models .venv/bin/python tests/arm64/small_answers.py write "$root/srv/small"
PYTHONPATH=.:tests:tests/cli .venv/bin/python tests/arm64/whole_bot.py write models/starter "$root/srv/starter.json"

failed=0
for cpu; do
  echo "== 64-bit ARM, $cpu"
  sh $enter "$root" "$cpu" sh -euc '
    cd /srv/bot && export PYTHONPATH=.:tests:tests/cli PATH="/srv/venv/bin:$PATH" && grep -m 1 Features /proc/cpuinfo
    python tests/arm64/small_answers.py compare /srv/small
    python tests/arm64/whole_bot.py compare /srv/starter /srv/starter.json
    python -m bot doctor --model-dir /srv/starter' || failed=1
done
exit $failed
