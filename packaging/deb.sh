#!/bin/sh
# Builds dist/candor_VERSION_ARCH.deb from the tree. The same commit gives the same file.
#
#   packaging/deb.sh [VERSION]     VERSION: by default that of git
#
# CANDOR_BINARY names a program to pack in place of building one, DEB_DIR where the file goes, DEB_COMPRESS how.
set -eu
cd "$(dirname "$0")/.."

version=${1:-$(git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-\([0-9]*\)-g/+\1.g/')}
[ -n "$version" ] || version="0~$(TZ=UTC git log -1 --date=format-local:%Y%m%d.%H%M%S --format=%cd+g%h)"
arch=$(go env GOARCH)
[ "$arch" != arm ] || arch=armhf
[ "$arch" != 386 ] || arch=i386
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
umask 022
doc=$root/usr/share/doc/candor
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system" "$root/etc/candor" "$doc/manual" "$root/usr/share/lintian/overrides"

if [ -n "${CANDOR_BINARY:-}" ]; then
	cp "$CANDOR_BINARY" "$root/usr/bin/candor"
else
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version" -o "$root/usr/bin/candor" ./cmd/candor
fi
cp packaging/candor.service packaging/candor.socket "$root/lib/systemd/system/"
cp docs/manual/*.md "$doc/manual/"
cp packaging/debian/copyright "$doc/copyright"
printf 'candor (%s) unstable; urgency=medium\n\n  * Built from commit %s.\n\n -- Candor maintainers <maintainers@candor.example>  %s\n' \
	"$version" "$(git log -1 --format=%H)" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
cp packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/candor"
for script in postinst prerm postrm; do
	install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$(du -sk "$root/usr" | cut -f1)/" packaging/debian/control >"$root/DEBIAN/control"
(cd "$root" && find usr lib -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

out=${DEB_DIR:-dist}
mkdir -p "$out"
dpkg-deb --root-owner-group -Z"${DEB_COMPRESS:-xz}" --build "$root" "$out/candor_${version}_$arch.deb"
