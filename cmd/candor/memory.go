package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	leastMemory = 256 << 20
	mostMemory  = 1 << 40
)

// machineMemory is half of what this process may have: of the machine's memory or, when that is
// less, of what its control group allows.
func machineMemory() int64 {
	total := int64(mostMemory)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		total = min(total, groupMemory("/sys/fs/cgroup", string(groups)))
	}
	return min(max(total/2, leastMemory), mostMemory) &^ (1<<20 - 1)
}

// groupMemory is the least memory that one of the control groups allows which /proc/self/cgroup
// names, or one above it. A group that says nothing has no limit (cgroups(7)).
func groupMemory(root, groups string) int64 {
	least := int64(mostMemory)
	for line := range strings.Lines(groups) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, file := root, "memory.max"
		switch controllers {
		case "":
		case "memory":
			dir, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for path := filepath.Join("/", group); ; path = filepath.Dir(path) {
			text, _ := os.ReadFile(filepath.Join(dir, path, file))
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
			if path == "/" {
				break
			}
		}
	}
	return least
}

// shares is how the memory that [limits] allows is divided. What is not given away here is for
// connections, and for what the garbage collector has not found yet.
type shares struct {
	process int64 // of the Go runtime in all; the rest is the program's code and the kernel's
	cache   int64 // the store's, of keys
	blobs   int64 // of message bodies that are being written
	doors   int64 // what strangers can make grow: great headers, structures, literals, results
	hashes  int   // passwords that are hashed at once
}

// hashMemory is what hashing a password takes (specification, section 3.1).
const hashMemory = 19 << 20

func (l *limits) shares() shares {
	eighth := l.memory / 8
	return shares{
		process: l.memory - eighth, cache: min(eighth, 1<<30), blobs: min(eighth, 64<<20), doors: eighth,
		hashes: int(max(eighth/hashMemory, 1)),
	}
}

// limitMemory tells the garbage collector what it has to keep to. An operator's GOMEMLIMIT goes first.
func (l *limits) limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(l.shares().process)
	}
}
