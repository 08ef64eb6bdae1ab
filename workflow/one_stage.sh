#!/usr/bin/env bash
# Run one stage through DVC; its messages go to the terminal and to the log: one_stage.sh STAGE LOG
# DVC fails, --wait-for-lock or not, where another process works on files of the stage: a `dvc repro` typed beside this
# run. So wait for the end of that one and try again. It never waits for us in turn: it fails.
set -euo pipefail
stage=$1 log=$2
until dvc --wait-for-lock repro --single-item "$stage" 2>&1 | tee "$log"; do
    # a DVC that was killed may have cut short its list of who is at work, as a job of a cluster that is then tried again;
    # of live ones none is writing it: they stop at it too. One that another job has begun anew meanwhile stays.
    if grep -q 'Unable to read RWLock-file' "$log"; then
        python -m json.tool .dvc/tmp/rwlock >/dev/null 2>&1 || rm -f .dvc/tmp/rwlock
        continue
    fi
    grep -q 'is busy, it is being blocked by' "$log" || exit 1
    echo 'waiting for the end of that process ...'
    sleep 1
    for other in $(sed -n 's/^  (PID \([0-9]*\)).*/\1/p' "$log"); do
        while ps -o stat= -p "$other" | grep -q '^[^Z]'; do sleep 1; done
    done
done
