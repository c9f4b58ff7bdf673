package mailfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxLevels bounds how deep folders are looked for.
const maxLevels = 50

// Maildir is a Maildir with its folders.
type Maildir struct {
	root *os.Root
}

// OpenMaildir opens the Maildir at path.
func OpenMaildir(path string) (*Maildir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Maildir{root}, nil
}

// Close closes the Maildir.
func (m *Maildir) Close() error { return m.root.Close() }

// Folders finds the mailboxes, INBOX first. What is none because of its name is told to bad.
func (m *Maildir) Folders(bad func(*Fault)) ([]Folder, error) {
	var all []Folder
	if m.isMaildir(".") {
		all = append(all, Folder{Name: inbox, Path: "."})
	}
	entries, err := list(m.root, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if levels, ok := strings.CutPrefix(e.Name(), "."); ok {
			if !m.isMaildir(e.Name()) {
				continue
			}
			name, err := decodeLevels(strings.Split(levels, "."))
			if err != nil {
				bad(&Fault{e.Name(), err})
				continue
			}
			all = append(all, Folder{Name: name, Path: e.Name()})
		} else if all, err = m.nested(all, e, nil, "", bad); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is no Maildir: neither it nor a folder in it holds cur and new", m.root.Name())
	}
	for i := range all {
		all[i].Weight = int64(len(m.files(all[i].Path, func(*Fault) {})))
	}
	return all, describeFolders(m.root, all)
}

// nested finds the mailboxes of LAYOUT=fs, whose levels are folders in folders.
func (m *Maildir) nested(all []Folder, e fs.DirEntry, above []string, in string, bad func(*Fault)) ([]Folder, error) {
	name, place := e.Name(), path.Join(in, e.Name())
	if strings.HasPrefix(name, ".") || name == "cur" || name == "new" || name == "tmp" || !isFolder(m.root, place) || len(above) == maxLevels {
		return all, nil
	}
	levels := append(above[:len(above):len(above)], name)
	if m.isMaildir(place) {
		decoded, err := decodeLevels(levels)
		if err != nil {
			bad(&Fault{place, err})
			return all, nil
		}
		all = append(all, Folder{Name: decoded, Path: place})
	}
	entries, err := list(m.root, place)
	if err != nil {
		bad(&Fault{place, err})
		return all, nil
	}
	for _, child := range entries {
		if all, err = m.nested(all, child, levels, place, bad); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (m *Maildir) isMaildir(folder string) bool {
	return isFolder(m.root, path.Join(folder, "cur")) && isFolder(m.root, path.Join(folder, "new"))
}

func isFolder(root *os.Root, name string) bool {
	info, err := root.Stat(name)
	return err == nil && info.IsDir()
}

// list returns the entries of a folder.
func list(root *os.Root, folder string) ([]fs.DirEntry, error) {
	f, err := root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// Subscriptions returns the names that a subscriptions file holds, of Dovecot or Courier. ok: there is one.
func (m *Maildir) Subscriptions() (names []string, ok bool, err error) {
	names, ok, err = readSubscriptions(m.root, "subscriptions", ".")
	if err != nil || ok {
		return names, ok, err
	}
	return readSubscriptions(m.root, "courierimapsubscribed", ".")
}

// readSubscriptions reads a file with a name a line; in Dovecot's second version of it, levels are separated by tabs.
func readSubscriptions(root *os.Root, file, separator string) (names []string, ok bool, err error) {
	f, err := openRegular(root, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for first := true; lines.Scan(); first = false {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if first && line == "V\t2" {
			separator = "\t"
			continue
		}
		if line == "" {
			continue
		}
		if rest, below := strings.CutPrefix(line, inbox+"."); below && separator == "." {
			line = rest // Courier's, and Dovecot's with its namespace
		}
		if name, err := decodeLevels(strings.Split(line, separator)); err == nil {
			names = append(names, name)
		}
	}
	return names, true, lines.Err()
}
