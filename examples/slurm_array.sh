#!/usr/bin/env bash
# A suite as a SLURM job array, one cell per task. Submit it with
#
#     sbatch --array=1-45%20 examples/slurm_array.sh
#
# where 45 is the number of lines printed by `lagbench sweep … --print-commands`, as in this script's first step, and 20
# the number of concurrent tasks. When submitted again, it runs the remaining cells: finished ones are not printed.
#SBATCH --job-name=lagbench
#SBATCH --cpus-per-task=2
#SBATCH --time=02:00:00
#SBATCH --output=%x-%A_%a.log
set -euo pipefail

SUITE=${SUITE:-mujoco-mini-v1}
ALGO=${ALGO:-vaco}
OUT=${OUT:-runs/slurm} # on a file system that all nodes share

# One list for all tasks of the array, written by the first, so that line numbers agree.
LIST=$OUT/cells-${SLURM_ARRAY_JOB_ID:?submit this with sbatch --array}.txt
mkdir -p "$OUT"
if ! [ -s "$LIST" ]; then
  lagbench sweep --suite "$SUITE" --algo "$ALGO" --out "$OUT" --print-commands >"$LIST.$SLURM_ARRAY_TASK_ID"
  # ln fails if the list exists already: the first one is used.
  ln "$LIST.$SLURM_ARRAY_TASK_ID" "$LIST" 2>/dev/null || true
  rm "$LIST.$SLURM_ARRAY_TASK_ID"
fi

CELL=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$LIST")
if [ -z "$CELL" ]; then
  echo "there is no cell $SLURM_ARRAY_TASK_ID"
  exit
fi
# Exit code 3: the run diverged, which is a result.
eval "$CELL" || [ $? -eq 3 ]
