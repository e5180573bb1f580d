#!/bin/sh
# Answers git's questions for a name and a password, for the one host whose token it was given, and for no other.
# The file named by the variable holds scheme, host, name and password, a line each; only its owner can read it.
{ IFS= read -r scheme && IFS= read -r host && IFS= read -r name && IFS= read -r password; } <"$NIGHTSHIFT_ASKPASS_FILE" || exit 1
case $1 in
  "Username for '$scheme://$host': ") printf '%s\n' "$name" ;;
  "Password for '$scheme://$name@$host': ") printf '%s\n' "$password" ;;
  *) exit 1 ;;
esac
