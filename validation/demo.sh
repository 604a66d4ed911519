#!/usr/bin/env bash
# First `toolkit demo`, whose page stays in `demo/`. Then the three commands as a new user would run them, in an empty
# directory: without a checkpoint they take the toolkit's own weights. Where the released checkpoints are at hand
# ($RT4KSR_DATA, default ../shared), on these too.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
data=$(cd "$root" && realpath -m "${RT4KSR_DATA:-../shared}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run toolkit demo --output "$root/demo" --overwrite

run toolkit export --scale 3
run toolkit verify-fusion
run toolkit profile --precision fp32 --quick --html report.html

if [ -f "$data/checkpoints/rt4ksr_x2.pth" ]; then
    cp "$data"/checkpoints/rt4ksr_x[23].pth .
    run toolkit export rt4ksr_x2.pth --output released
    run toolkit verify-fusion rt4ksr_x2.pth --directory released
fi
