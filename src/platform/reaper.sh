# Outlives the server by a moment. Its standard input closes when the server is gone, however it went;
# then every process that still carries the server's marker in its environment is killed.
# A process on its way from one program to the next shows no environment, so it takes several clean looks to be sure.
# usage: sh reaper.sh NAME=VALUE
cat >/dev/null
clean=0
passes=0
while [ "$clean" -lt 3 ] && [ "$passes" -lt 50 ]; do
  passes=$((passes + 1))
  pids=$(grep -lszxF -- "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
  if [ -z "$pids" ]; then
    clean=$((clean + 1))
  else
    clean=0
    kill -9 $pids 2>/dev/null
  fi
  sleep 0.05
done
