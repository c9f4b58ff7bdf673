package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLimitForms: what a limit may be written as.
func TestLimitForms(t *testing.T) {
	c, err := parseConfig("f", []byte(minimal+"[limits]\nmemory = \"512MiB\"\ncommand_line = 4096\noutbound_end_timeout = \"20m\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if l := c.limits; l.memory != 512<<20 || l.commandLine != 4096 || l.outEnd != 20*time.Minute || l.mimeParts != 10_000 {
		t.Errorf("got %+v", l)
	}
	for text, want := range map[string]string{
		`memory = "64MiB"`:     "64 MiB is out of range: use 256 MiB to 1 TiB",
		`memory = "much"`:      `"much" is not a size: write octets, or text such as "512MiB"`,
		`memory = "9TiB"`:      "9 TiB is out of range",
		`mime_depth = "5"`:     `"5" is not a whole number`,
		`content_rate = 1.5`:   "1.5 is not a whole number",
		`imap_line = "128KiB"`: "128 KiB is out of range: use 8 KiB to 64 KiB (default 64 KiB)",
	} {
		if _, err := parseConfig("f", []byte(minimal+"[limits]\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestGroupMemory: of a group and those above it, the least counts.
func TestGroupMemory(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"memory.max": "max\n", "a/memory.max": "1073741824\n", "a/b/memory.max": "2147483648\n",
		"memory/c/memory.limit_in_bytes": "536870912\n",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for groups, want := range map[string]int64{
		"0::/\n":                             mostMemory,
		"0::/a/b\n":                          1 << 30,
		"5:cpu:/a\n4:memory:/c/d\n0::/a/b\n": 512 << 20,
		"":                                   mostMemory,
	} {
		if got := groupMemory(root, groups); got != want {
			t.Errorf("%q: got %d, want %d", groups, got, want)
		}
	}
}

// TestShares: the parts of the least memory fit into it, and leave half of it for the rest.
func TestShares(t *testing.T) {
	for _, memory := range []int64{leastMemory, 512 << 20, mostMemory} {
		s := (&limits{memory: memory}).shares()
		if given := s.cache + s.blobs + s.doors + int64(s.hashes)*hashMemory; given > memory/2 || s.process >= memory {
			t.Errorf("of %d, %d are given away: %+v", memory, given, s)
		}
	}
}
