#!/usr/bin/env bash
# slurm_run.sh TOOL PARTITION JOB ...: what slurm_train.sh and slurm_test.sh share
set -euo pipefail
tool=$1 partition=$2 job=$3
shift 3
gpus=${GPUS:-8} gpus_per_node=${GPUS_PER_NODE:-8}
exec srun -p "$partition" --job-name="$job" --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/$tool" --launcher slurm "$@"
