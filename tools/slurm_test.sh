#!/usr/bin/env bash
# slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [options of tools/test.py]
set -euo pipefail
partition=$1 job=$2
shift 2
gpus=${GPUS:-8} gpus_per_node=${GPUS_PER_NODE:-8}
exec srun -p "$partition" --job-name="$job" --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/test.py" --launcher slurm "$@"
