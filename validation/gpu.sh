#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: all GPU tests and the profile matrix, written to validation/gpu/.
# What is not installed is left out and said so by `toolkit doctor`, whose answer is the first part of the report.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-validation/gpu}
artifacts=$(mktemp -d)
trap 'rm -rf "$artifacts"' EXIT
data=${RT4KSR_DATA:-../shared}

if ! command -v nvidia-smi >/dev/null; then
    echo "error: there is no NVIDIA driver here (nvidia-smi)" >&2
    exit 3
fi
mkdir -p "$out"
{
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv
    toolkit doctor
} | tee "$out/machine.txt"

for scale in 2 3; do
    checkpoint="$data/checkpoints/rt4ksr_x$scale.pth"
    [ -f "$checkpoint" ] || checkpoint=""
    toolkit export ${checkpoint:+"$checkpoint"} --scale "$scale" --precision fp32,fp16,bf16,int8 -o "$artifacts" || exit
done
python -m pytest -m gpu | tee "$out/tests.txt"
tests=${PIPESTATUS[0]}
toolkit profile --directory "$artifacts" --precision fp32,fp16,bf16,int8 --duration 10 \
    --runtime torch,ort-cpu,openvino,ort-cuda,ort-tensorrt,tensorrt,tensorrt-rtx --json \
    >"$out/profile.json" 2> >(tee "$out/profile.txt" >&2)
exit "$tests"
