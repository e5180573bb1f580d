# Opens what bubblewrap reads by descriptor, enters the control groups, and becomes the command.
# The arguments' file holds the run's credential, so it is gone before anything of the agent's has begun.
# usage: sh launch.sh ARGS STATUS SECCOMP [CGROUP...] -- COMMAND...
args=$1
status=$2
seccomp=$3
shift 3
while [ "$1" != -- ]; do
  echo $$ >"$1/cgroup.procs" || exit 125
  shift
done
shift
exec 7<"$args" 8>"$status" || exit 125
rm -f "$args"
[ -z "$seccomp" ] || exec 9<"$seccomp" || exit 125
# Whatever else was left open by whoever started the server is no business of the agent's. A plain shell cannot name
# descriptors above 9, and has a few of its own there that close by themselves.
high=
for open in /proc/$$/fd/*; do
  open=${open##*/}
  case $open in
    0 | 1 | 2 | 7 | 8 | 9) ;;
    [3-6]) eval "exec $open>&-" ;;
    *) high="$high $open" ;;
  esac
done
# Bash takes a socket on its input for a remote login and would read ~/.bashrc, but for --norc.
[ -n "$high" ] && [ -x /bin/bash ] && exec /bin/bash --norc --noprofile -p -c 'for open in '"$high"'; do eval "exec $open>&-"; done; exec "$@"' launch "$@"
exec "$@"
