#!/usr/bin/env bash
# slurm_train.sh PARTITION JOB CONFIG [options of tools/train.py]
exec "$(dirname "$0")/slurm_run.sh" train.py "$@"
