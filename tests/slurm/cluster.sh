#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, to try the profile in workflow/profiles/slurm. Run as root.
#   apt install slurmctld slurmd slurm-client munge
#   eval "$(tests/slurm/cluster.sh start /tmp/cluster)"
#   snakemake --profile workflow/profiles/slurm
#   tests/slurm/cluster.sh stop /tmp/cluster
# All state lies in the folder; the node claims 16 cores, 64 GB and a GPU whatever the machine has (nothing is bound).
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin
[ $# = 2 ] || { echo "usage: $0 start|stop FOLDER" >&2; exit 2; }
folder=$(realpath -m "$2")

# two that are not the same
free_ports() {
  python3 -c 'import socket; s = [socket.create_server(("", 0)) for _ in "ab"]; print(*(one.getsockname()[1] for one in s))'
}

configure() {
  local host=$(hostname -s) ports
  read -ra ports < <(free_ports)
  cat > "$folder/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
# scontrol knows ended jobs for a day (else 300 s: less than a pipeline takes on a busy machine), and nobody gives up early
MinJobAge=86400
MessageTimeout=60
TCPTimeout=30
BatchStartTimeout=120
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  echo "Name=gpu File=/dev/null" > "$folder/gres.conf"
}

# Snakemake's job steps drop all SLURM_ variables, so that srun would look for a configuration in /etc
wrap_srun() {
  printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$folder/slurm.conf" "$(command -v srun)" > "$folder/bin/srun"
  chmod +x "$folder/bin/srun"
}

start() {
  mkdir -p "$folder/state" "$folder/spool" "$folder/bin"
  configure
  wrap_srun
  export SLURM_CONF="$folder/slurm.conf"
  head -c 128 /dev/urandom > "$folder/munge.key" && chmod 600 "$folder/munge.key"
  munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --log-file="$folder/munge.log" \
    --pid-file="$folder/munge.pid" --seed-file="$folder/munge.seed" >&2
  slurmctld >&2
  slurmd >&2
  for _ in $(seq 240); do
    if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
      echo "export SLURM_CONF=$SLURM_CONF PATH=$folder/bin:\$PATH"
      return
    fi
    sleep 0.5
  done
  tail -n 20 "$folder"/slurm*.log >&2
  echo "the node did not become idle" >&2
  stop
  exit 1
}

stop() {
  for name in slurmd slurmctld munge; do
    if [ -s "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; fi
  done
}

"$1"
