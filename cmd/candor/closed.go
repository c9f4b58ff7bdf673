package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// closeListeners takes the listeners out that closed names. It is the last check, so that they are checked like others.
func (c *config) closeListeners() error {
	for i, entry := range c.Closed {
		service, port, ok := parsePlace(entry)
		if !ok {
			return c.refuse("closed", "", "closed[%d]: %q is not service:port: write it like \"imap:143\"", i, entry)
		}
		found := false
		c.Listeners = slices.DeleteFunc(c.Listeners, func(l listenerConfig) bool {
			_, p := bind(l.Address)
			if l.Service != service || p != port {
				return false
			}
			c.closed = append(c.closed, l)
			found = true
			return true
		})
		if !found {
			return c.refuse("closed", "", "closed[%d]: no other listener is %s: remove it from the list, or use some of %s", i, entry, c.listenerNames())
		}
	}
	if len(c.Listeners) == 0 {
		return c.refuse("closed", "", "closed leaves no listener: remove one from the list")
	}
	return nil
}

// setClosed returns the text of a configuration with another list of closed listeners; all else stays as it is. The text has
// been parsed before.
func setClosed(text []byte, closed []string) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	at := placeForKey(lines, firstTable(text))
	if line, is := positions(bytes.TrimPrefix(text, []byte("\uFEFF")))["closed"]; is {
		at = line - 1
		lines = withoutValue(lines, at)
	}
	if len(closed) == 0 {
		return bytes.Join(lines, nil)
	}
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	quoted := make([]string, len(closed))
	for i, entry := range closed {
		quoted[i] = strconv.Quote(entry)
	}
	line := "closed = [" + strings.Join(quoted, ", ") + "]" + end
	if at > 0 && !bytes.HasSuffix(lines[at-1], []byte("\n")) {
		line = end + line
	}
	return bytes.Join(slices.Insert(lines, at, []byte(line)), nil)
}

// withoutValue takes out the lines of the value that begins at a line: as many as leave the rest a whole.
func withoutValue(lines [][]byte, at int) [][]byte {
	for n := 1; at+n <= len(lines); n++ {
		rest := slices.Delete(slices.Clone(lines), at, at+n)
		var parsed map[string]any
		if toml.Unmarshal(bytes.TrimPrefix(bytes.Join(rest, nil), []byte("\uFEFF")), &parsed) == nil {
			return rest
		}
	}
	return lines
}

// firstTable is the line, from 0, of the first table of a text; beyond its end if it has none.
func firstTable(text []byte) int {
	var p unstable.Parser
	p.Reset(bytes.TrimPrefix(text, []byte("\uFEFF")))
	for p.NextExpression() {
		if e := p.Expression(); e.Kind == unstable.Table || e.Kind == unstable.ArrayTable {
			it := e.Key()
			it.Next()
			return p.Shape(it.Node().Raw).Start.Line - 1
		}
	}
	return bytes.Count(text, []byte("\n")) + 1
}

// placeForKey is the line for another key above a table, and above the remarks on that.
func placeForKey(lines [][]byte, table int) int {
	at := min(table, len(lines))
	for at > 0 {
		if before := bytes.TrimSpace(lines[at-1]); len(before) > 0 && before[0] != '#' {
			break
		}
		at--
	}
	return at
}

// replaceFile puts another content in the place of a file at once, with its owner and permissions.
func replaceFile(file string, content []byte) (err error) {
	was, err := os.Stat(file)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".candor-*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if owner, is := was.Sys().(*syscall.Stat_t); is {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("keeping the owner of %s: %w", file, err)
		}
	}
	if err := f.Chmod(was.Mode().Perm()); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
