package main

import (
	"cmp"
	"runtime/debug"
)

// version is set by the builder of a package.
var version string

// versionText is the version, or what Go knows of the commit that the program was built from.
func versionText() string {
	if version != "" {
		return "candor " + version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "candor, of an unknown version"
	}
	return "candor " + cmp.Or(info.Main.Version, "(devel)")
}
