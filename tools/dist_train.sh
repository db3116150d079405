#!/usr/bin/env bash
# dist_train.sh CONFIG GPUS [options of tools/train.py]
set -euo pipefail
targets=("$1") gpus=$2
shift 2
exec torchrun --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" --nproc_per_node="$gpus" \
    "$(dirname "$0")/train.py" "${targets[@]}" --launcher pytorch "$@"
