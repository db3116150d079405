#!/usr/bin/env bash
# slurm_test.sh PARTITION JOB CONFIG CHECKPOINT [options of tools/test.py]
exec "$(dirname "$0")/slurm_run.sh" test.py "$@"
