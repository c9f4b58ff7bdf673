#!/bin/sh
# Installs from Debian the programs that the tests drive, and the C compiler that the race detector needs. Without root or
# sudo it names them and goes on: the tests that need them are then skipped, and say so.
set -u
packages="swaks libio-socket-ssl-perl libnet-ssleay-perl libauthen-sasl-perl libauthen-ntlm-perl curl openssl isync libsasl2-modules fetchmail mutt dovecot-core msmtp gsasl python3 postfix ca-certificates systemd adduser gcc libc6-dev testssl.sh sslscan haproxy thunderbird xvfb gnutls-bin"

missing=
for p in $packages; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	echo "NOT INSTALLED:$missing. Neither root nor sudo is at hand; the tests that need them are skipped." >&2
	exit 0
fi
# Postfix is only ever started by a test, in a folder of its own.
echo "postfix postfix/main_mailer_type select No configuration" | $sudo debconf-set-selections
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
