#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command beside three hosts, h1 to h3: network namespaces on one switch, an sshd in each. $FERMENT_MPIRUN is an
# mpirun that was started on h1 and reaches the others by ssh; $FERMENT_ON_H1 runs a program there. All processes, mounts
# and networks are in namespaces of this script's own, which end with it however it ends: a killed test leaves nothing
# behind. Usage: three_hosts.sh COMMAND...
set -euo pipefail

skip() {
  echo "skipped: three hosts need $*"
  exit 77
}

fresh=(unshare --net --pid --mount --fork --mount-proc --kill-child)
if [[ ${FERMENT_THREE_HOSTS:-} != inside ]]; then
  [[ $(id -u) == 0 ]] || skip "root, for network namespaces"
  for program in unshare ip mpirun ssh ssh-keygen /usr/sbin/sshd; do
    command -v "$program" >/dev/null || skip "$program (make deps installs it)"
  done
  why=$("${fresh[@]}" mount -t tmpfs tmpfs /run 2>&1) || skip "namespaces of networks, processes and mounts, which this machine does not allow: $why"
  FERMENT_THREE_HOSTS=inside exec "${fresh[@]}" "$0" "$@"
fi

mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/mpi
cd /run/mpi
ssh-keygen -q -t ed25519 -N '' -f user_key
ssh-keygen -q -t ed25519 -N '' -f host_key
install -m 600 user_key.pub authorized_keys

cat >rsh <<'END'
#!/bin/sh
exec ssh -p 2222 -i /run/mpi/user_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
  -o BatchMode=yes "$@"
END
cat >mpirun <<'END'
#!/bin/sh
exec ip netns exec h1 unshare --uts sh -c 'hostname h1; exec mpirun "$@"' mpirun --allow-run-as-root --oversubscribe \
  --bind-to none --host 10.99.0.1:1,10.99.0.2:1,10.99.0.3:1 --mca plm_rsh_agent /run/mpi/rsh --mca orte_tmpdir_base /run/mpi \
  --mca btl self,vader,tcp --mca btl_tcp_if_include 10.99.0.0/24 --mca oob_tcp_if_include 10.99.0.0/24 \
  --mca btl_vader_single_copy_mechanism none --mca mpi_yield_when_idle 1 --mca odls_base_sigkill_timeout 2 \
  -x GOMP_SPINCOUNT=30000 -x OMP_NUM_THREADS=1 "$@"
END
cat >on_h1 <<'END'
#!/bin/sh
exec ip netns exec h1 unshare --uts sh -c 'hostname h1; exec "$@"' sh env OMPI_MCA_plm_rsh_agent=/run/mpi/rsh "$@"
END
chmod +x rsh mpirun on_h1
printf '127.0.0.1 localhost\n10.99.0.1 h1\n10.99.0.2 h2\n10.99.0.3 h3\n' >hosts
mount --bind hosts /etc/hosts
# sh as the login shell: it reads none of what a person's shell would do first, which may wait or be killed in the middle.
sed 's|^\(root:.*\):[^:]*$|\1:/bin/sh|' /etc/passwd >passwd
mount --bind passwd /etc/passwd

ip netns add switch
ip -n switch link add br0 type bridge
ip -n switch link set br0 up
for i in 1 2 3; do
  ip netns add "h$i"
  ip -n "h$i" link set lo up
  ip link add e0 netns "h$i" type veth peer name "p$i" netns switch
  ip -n switch link set "p$i" master br0 up
  ip -n "h$i" addr add "10.99.0.$i/24" dev e0
  ip -n "h$i" link set e0 up
  ip netns exec "h$i" unshare --uts sh -c "hostname h$i; exec /usr/sbin/sshd -D -f /dev/null -p 2222 -h /run/mpi/host_key \
    -o ListenAddress=10.99.0.$i -o AuthorizedKeysFile=/run/mpi/authorized_keys -o StrictModes=no -o PidFile=none -o UsePAM=no \
    -o PermitRootLogin=prohibit-password" 2>"sshd$i.log" &
done
for i in 1 2 3; do
  for _ in {1..100}; do
    if ip netns exec h1 ./rsh "10.99.0.$i" true 2>/dev/null; then continue 2; fi
    sleep 0.1
  done
  cat "sshd$i.log" >&2
  echo "sshd of h$i does not answer" >&2
  exit 1
done

cd - >/dev/null
code=0
FERMENT_MPIRUN=/run/mpi/mpirun FERMENT_ON_H1=/run/mpi/on_h1 "$@" || code=$?
exit "$code"
