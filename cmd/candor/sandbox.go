package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	kernel "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// sandbox is what the files of a process are confined to. The zero value confines nothing.
type sandbox struct {
	readable []string // folders
	words    string
}

// commonlyRead are the folders in which certificates, certificate authorities and the system's resolver are configured,
// so that a reload may name other files there; and /proc, for metrics.
var commonlyRead = []string{"/etc", "/usr/share", "/usr/local/share", "/usr/lib/ssl", "/run", "/var/lib", "/srv", "/opt", "/tmp", "/proc"}

// leastLandlock is the version of Linux 5.19. An earlier one lets no file move from folder to folder, as the store's do, and
// the library would then confine nothing and say nothing.
const leastLandlock = 2

// confine gives up, for good and as far as the kernel can do it, what a server needs no more once it is open: it
// writes in its data folder alone, reads where configuration and certificates are, and executes nothing. Sockets
// are not confined: a reload may open other ports.
func confine(c *config) (s sandbox, err error) {
	version, err := kernel.LandlockGetABIVersion()
	if err != nil || version < leastLandlock {
		return sandbox{words: "not confined; this kernel has no Landlock, or that of a version before Linux 5.19"}, nil
	}
	s.readable = slices.Clone(commonlyRead)
	for _, file := range append(c.readFiles(), c.file) {
		s.readable = append(s.readable, filepath.Dir(file), filepath.Dir(followed(file)))
	}
	writable := []string{c.Data}
	for _, folder := range []string{"store", "store/keys", "store/blobs"} { // may be links to other disks
		writable = append(writable, followed(filepath.Join(c.Data, folder)))
	}
	err = landlock.V5.BestEffort().RestrictPaths(
		landlock.PathAccess(kernel.AccessFSReadFile|kernel.AccessFSReadDir, s.readable...).IgnoreIfMissing(),
		landlock.PathAccess(writes, writable...).IgnoreIfMissing(),
	)
	if err != nil {
		return sandbox{}, fmt.Errorf("confining the process with Landlock: %w", err)
	}
	s.words = fmt.Sprintf("writes only in %s, executes nothing, reads only where configuration and certificates are (Landlock %d)", c.Data, version)
	return s, nil
}

// writes is everything but to execute, and to make devices.
const writes = kernel.AccessFSReadFile | kernel.AccessFSReadDir | kernel.AccessFSWriteFile | kernel.AccessFSRemoveDir | kernel.AccessFSRemoveFile |
	kernel.AccessFSMakeDir | kernel.AccessFSMakeReg | kernel.AccessFSMakeSock | kernel.AccessFSRefer | kernel.AccessFSTruncate

// readFiles are the files that the configuration names.
func (c *config) readFiles() (all []string) {
	for _, p := range c.pairs() {
		all = append(all, p.Cert, p.Key)
	}
	if c.TLS.Roots != "" {
		all = append(all, c.TLS.Roots)
	}
	for _, l := range c.Listeners {
		if l.ClientCA != "" {
			all = append(all, l.ClientCA)
		}
	}
	for _, o := range c.OAuth {
		for _, file := range []string{o.ClientSecretFile, o.Roots} {
			if file != "" {
				all = append(all, file)
			}
		}
	}
	return all
}

// followed is where a path leads through links; itself when it leads nowhere.
func followed(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// check refuses files of another configuration that the running process may not read.
func (s *sandbox) check(c *config) error {
	for _, file := range c.readFiles() {
		if len(s.readable) > 0 && !within(s.readable, file) {
			return c.refuse("tls", "", "%s is where the running server may not read any more: put it into the folder of this file or below /etc, or restart candor", file)
		}
	}
	return nil
}

// within reports whether a file is below one of the folders. Each may be relative to the current one.
func within(folders []string, file string) bool {
	file = rooted(file)
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(file, strings.TrimSuffix(rooted(f), "/")+"/") })
}

// rooted is followed, from the root on.
func rooted(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return followed(path)
}
