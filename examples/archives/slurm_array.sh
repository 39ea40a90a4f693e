#!/usr/bin/env bash
#SBATCH --job-name=olift
#SBATCH --array=1-20
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#
#   sbatch examples/archives/slurm_array.sh RECORDINGS LIFTED [OPTIONS of olift archive]
#   olift archive --merge LIFTED         when all are done
#
# Each task lifts its part of the recordings, with a process for each of its cores. A task that runs out of time, or is
# preempted, finishes what it has in work; `sbatch` again goes on. Many more recordings than tasks even out the parts.
set -euo pipefail

source="${1:?RECORDINGS is missing: a folder, a list or a URL}"
lifted="${2:?LIFTED is missing: the folder of the results}"
shift 2

olift archive "$source" --out "$lifted" \
  --shard "${SLURM_ARRAY_TASK_ID:?run this with sbatch}/${SLURM_ARRAY_TASK_COUNT:?run this with sbatch}" \
  --workers "${SLURM_CPUS_PER_TASK:-1}" "$@" &
# bash hands a signal on only while it waits in this way.
trap 'kill -TERM %1; wait %1 || exit $?' TERM
wait %1 || status=$?
# 3: some files could not be lifted. They are rows of the manifest, and no reason to run the task again.
[ "${status:-0}" = 3 ] || exit "${status:-0}"
