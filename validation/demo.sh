#!/usr/bin/env bash
# The three commands on real checkpoints where they are at hand, on an untrained network where not.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${RT4KSR_DATA:-../shared}

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

checkpoints=("$data"/checkpoints/rt4ksr_x[23].pth)
if [ -f "${checkpoints[0]}" ]; then
    for checkpoint in "${checkpoints[@]}"; do
        run toolkit export "$checkpoint"
    done
else
    echo "No released checkpoints below $data (set RT4KSR_DATA): showing untrained networks."
    run toolkit export --scale 2
    run toolkit export --scale 3
fi
run toolkit verify-fusion
run toolkit profile --duration 3
