#!/usr/bin/env bash
# dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
set -euo pipefail
targets=("$1" "$2") gpus=$3
shift 3
exec torchrun --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" --nproc_per_node="$gpus" \
    "$(dirname "$0")/test.py" "${targets[@]}" --launcher pytorch "$@"
