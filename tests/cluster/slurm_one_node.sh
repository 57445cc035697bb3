#!/usr/bin/env bash
# SLURM on this one machine, for tests: Debian, root, no systemd, no database, no cgroups.
#
#   slurm_one_node.sh install   apt-get install what is missing
#   slurm_one_node.sh start     configure and start munged, slurmctld and slurmd; wait until the node is idle
#   slurm_one_node.sh stop      stop the daemons that `start` started, and no others
#   slurm_one_node.sh remove    purge what `install` installed: while SLURM's commands are there and no controller
#                               answers, each start of a Snakemake with the SLURM plugin takes 10 s more
#
# The node pretends to have 3 GPUs of model "fake" (links to /dev/null). Every task writes a line when it starts and
# when it ends into $HISTOWEAVE_SLURM/tasks.txt: begin|end, job id, seconds, CUDA_VISIBLE_DEVICES.
# There is no accounting, so Snakemake must be told `--slurm-status-command squeue`.
set -euo pipefail

RUN=${HISTOWEAVE_SLURM:-/var/lib/histoweave-slurm}
MARK="written by histoweave's tests/cluster/slurm_one_node.sh"
PACKAGES=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge)
HOST=$(hostname -s)
MEMORY_MB=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)

missing() {
  local package
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
  done
}

install_() {
  local packages
  mapfile -t packages < <(missing)
  [ "${#packages[@]}" -gt 0 ] || return 0
  [ ! -e /etc/slurm/slurm.conf ] || { echo "/etc/slurm/slurm.conf exists: this machine is part of a cluster" >&2; return 1; }
  apt-get update -q
  # Postponed daemons: the package must not start one of its own.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "${packages[@]}"
  mkdir -p "$RUN"
  printf '%s\n' "${packages[@]}" >"$RUN/installed"
}

configure() {
  mkdir -p "$RUN"/{state,spool,log,munge} /etc/slurm
  chmod 755 "$RUN" "$RUN/munge"
  [ -s "$RUN/munge/key" ] || (umask 077 && head -c 1024 /dev/urandom >"$RUN/munge/key")
  # slurmd takes devices only; links to one will do.
  local gpu moment
  for gpu in 0 1 2; do ln -sfn /dev/null "$RUN/fake$gpu"; done
  for moment in begin end; do
    cat >"$RUN/$moment.sh" <<SCRIPT
#!/bin/sh
echo "$moment \$SLURM_JOB_ID \$(date +%s.%N) \$CUDA_VISIBLE_DEVICES" >>"$RUN/tasks.txt"
SCRIPT
    chmod 755 "$RUN/$moment.sh"
  done
  echo "NodeName=$HOST Name=gpu Type=fake File=$RUN/fake[0-2]" >/etc/slurm/gres.conf
  # In /etc, since Snakemake's jobs hide SLURM_CONF from srun.
  cat >/etc/slurm/slurm.conf <<CONF
# $MARK
ClusterName=onenode
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$RUN/munge/socket
StateSaveLocation=$RUN/state
SlurmdSpoolDir=$RUN/spool
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.pid
SlurmctldLogFile=$RUN/log/slurmctld.log
SlurmdLogFile=$RUN/log/slurmd.log
TaskProlog=$RUN/begin.sh
TaskEpilog=$RUN/end.sh
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
# squeue must still know a job that has ended when Snakemake asks.
MinJobAge=300
# A job that could not be launched fails; held in the queue, Snakemake would wait for it for ever.
JobRequeue=0
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# Twice the cores: a third of each job's time Snakemake and SLURM wait for each other.
SlurmdParameters=config_overrides
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$((2 * $(nproc))) RealMemory=$MEMORY_MB Gres=gpu:fake:3
PartitionName=main Nodes=$HOST Default=YES DefMemPerCPU=256
PartitionName=gpu Nodes=$HOST DefMemPerCPU=256
CONF
}

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

start_() {
  if [ -e /etc/slurm/slurm.conf ] && ! grep -qF "$MARK" /etc/slurm/slurm.conf; then
    echo "/etc/slurm/slurm.conf is not ours: this machine is part of a cluster" >&2
    return 1
  fi
  alive "$RUN/slurmctld.pid" && { echo "already running" >&2; return 1; }
  configure
  rm -f "$RUN/tasks.txt" "$RUN"/munge/{socket,socket.lock,pid}
  munged --force --key-file="$RUN/munge/key" --socket="$RUN/munge/socket" --pid-file="$RUN/munge/pid" \
    --log-file="$RUN/munge/log" --seed-file="$RUN/munge/seed" --num-threads=2
  # -c: forget the jobs of an earlier start.
  slurmctld -c -i
  slurmd -c
  for _ in $(seq 60); do
    sinfo -h -o %T 2>/dev/null | grep -qx idle && return 0
    sleep 0.5
  done
  tail -n 20 "$RUN"/log/*.log >&2
  return 1
}

stop_() {
  local file pid
  if alive "$RUN/slurmctld.pid"; then scancel --quiet --user="$(id -un)" || true; fi
  for file in "$RUN/slurmd.pid" "$RUN/slurmctld.pid" "$RUN/munge/pid"; do
    alive "$file" || continue
    pid=$(cat "$file")
    kill "$pid"
    for _ in $(seq 40); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
    if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid"; fi
  done
}

remove_() {
  stop_
  if [ -s "$RUN/installed" ]; then
    local packages
    mapfile -t packages <"$RUN/installed"
    DEBIAN_FRONTEND=noninteractive apt-get purge -y -q "${packages[@]}"
  fi
  if grep -qsF "$MARK" /etc/slurm/slurm.conf; then rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf; fi
  rm -rf "$RUN"
}

case "${1:-}" in
  install | start | stop | remove) "$1_" ;;
  *) sed -n '2,15p' "$0"; exit 2 ;;
esac
