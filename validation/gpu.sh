#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: all GPU tests, engines of every runtime that builds any, and the profile matrix with
# those engines, written to validation/gpu/. What is not installed is left out and listed in missing.txt: where only
# PyTorch with CUDA is there, that much is run. Exit code: that of the tests; 3 where there is nothing to run.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-validation/gpu}
artifacts=$(mktemp -d)
trap 'rm -rf "$artifacts"' EXIT
data=${RT4KSR_DATA:-../shared}
precisions=fp32,fp16,bf16,int8

if ! command -v nvidia-smi >/dev/null; then
    echo "error: there is no NVIDIA driver here (nvidia-smi)" >&2
    exit 3
fi
mkdir -p "$out"
{
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv
    toolkit doctor
} | tee "$out/machine.txt"

# Which runtimes work here, one a line; the others and the reason go to missing.txt.
working() {
    toolkit doctor --json | python -c '
import json, sys
wanted = sys.argv[2].split(",")
found = {runtime["name"]: runtime for runtime in json.load(sys.stdin)["runtimes"]}
missing = [name + ": " + found[name]["reason"] for name in wanted if not found[name]["ok"]]
with open(sys.argv[1], "a") as stream:
    stream.writelines(line + "\n" for line in missing)
print("".join(name + "\n" for name in wanted if found[name]["ok"]), end="")
' "$out/missing.txt" "$1"
}

: >"$out/missing.txt"
mapfile -t gpu < <(working torch-cuda,torch-compile-cuda,ort-cuda,ort-tensorrt,tensorrt,tensorrt-rtx)
mapfile -t cpu < <(working torch,torch-compile,ort-cpu,openvino)
if [ -s "$out/missing.txt" ]; then
    { echo "not run, as it does not work here:"; sed 's/^/  /' "$out/missing.txt"; } >&2
fi
if [ ${#gpu[@]} -eq 0 ]; then
    echo "error: none of the GPU runtimes works here" >&2
    exit 3
fi

for scale in 2 3; do
    checkpoint="$data/checkpoints/rt4ksr_x$scale.pth"
    [ -f "$checkpoint" ] || checkpoint=""
    toolkit export ${checkpoint:+"$checkpoint"} --scale "$scale" --precision "$precisions" --allow-worse-than-bicubic -o "$artifacts" || exit
done

python -m pytest -m gpu | tee "$out/tests.txt"
tests=${PIPESTATUS[0]}

# An engine that cannot be built is one line in the report; the others go on.
for runtime in "${gpu[@]}"; do
    case $runtime in ort-cuda | ort-tensorrt | tensorrt | tensorrt-rtx) ;; *) continue ;; esac
    for artifact in "$artifacts"/*.onnx; do
        name=$(basename "$artifact" .onnx).$runtime.engine
        if toolkit build "$artifact" --runtime "$runtime"; then
            cp "$artifacts/$name/engine.json" "$out/$name.json"
            [ ! -f "$artifacts/$name/layers.json" ] || cp "$artifacts/$name/layers.json" "$out/$name.layers.json"
        else
            echo "$name was not built"
        fi
    done
done 2>&1 | tee "$out/engines.txt"

shopt -s nullglob  # perhaps there is no engine
runtimes=$(IFS=,; echo "${cpu[*]},${gpu[*]}")
toolkit profile "$artifacts"/*.onnx "$artifacts"/*.engine --precision "$precisions" --duration 10 \
    --runtime "$runtimes" --per-layer --streams 2 --overwrite -o "$out/profile.json" --html "$out/profile.html" \
    | tee "$out/profile.txt"
exit "$tests"
