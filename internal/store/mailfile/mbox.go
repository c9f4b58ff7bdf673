package mailfile

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Mbox is an mbox, or a tree of them.
type Mbox struct {
	root   *os.Root
	single string // the one file; empty: a tree
}

// OpenMbox opens the mbox, or the tree of mboxes, at path.
func OpenMbox(path string) (*Mbox, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	m := &Mbox{}
	if !info.IsDir() {
		path, m.single = filepath.Dir(path), filepath.Base(path)
	}
	m.root, err = os.OpenRoot(path)
	return m, err
}

// Close closes the mboxes.
func (m *Mbox) Close() error { return m.root.Close() }

// IsSingle reports whether it is one file, whose name says nothing of the mailbox.
func (m *Mbox) IsSingle() bool { return m.single != "" }

// Folders finds the mailboxes, INBOX first. What is no mbox, or none because of its name, is told to bad.
func (m *Mbox) Folders(bad func(*Fault)) ([]Folder, error) {
	if m.single != "" {
		info, err := m.root.Stat(m.single)
		if err != nil {
			return nil, err
		}
		return []Folder{{Name: inbox, Path: m.single, Weight: info.Size()}}, nil
	}
	var all []Folder
	err := fs.WalkDir(m.root.FS(), ".", func(place string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			bad(&Fault{place, err})
			return nil
		case place == ".":
			return nil
		case strings.HasPrefix(d.Name(), ".") || d.IsDir() && strings.Count(place, "/") >= maxLevels:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || besideMail(place):
			return nil
		}
		name, err := mboxName(place)
		size := int64(0)
		if err == nil {
			size, err = m.measure(place)
		}
		if err != nil {
			bad(&Fault{place, err})
			return nil
		}
		if f := (Folder{Name: name, Path: place, Weight: size}); strings.EqualFold(name, inbox) {
			all = append([]Folder{f}, all...)
		} else {
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no mbox", m.root.Name())
	}
	return all, describeFolders(m.root, all)
}

// besideMail tells files that mail programs and exports keep beside mboxes.
func besideMail(place string) bool {
	return strings.HasPrefix(place, manifestFile) || place == "subscriptions" || path.Ext(place) == ".msf" || strings.HasPrefix(path.Base(place), "dovecot")
}

// mboxName returns the name of the mailbox in a file.
func mboxName(place string) (string, error) {
	parts := strings.Split(place, "/")
	last := len(parts) - 1
	parts[last] = strings.TrimSuffix(parts[last], mboxSuffix)
	for i := range last {
		parts[i] = strings.TrimSuffix(parts[i], sbdSuffix)
	}
	return decodeLevels(parts)
}

// measure returns the size of a file that begins as an mbox does. An empty one is an mbox without messages.
func (m *Mbox) measure(place string) (int64, error) {
	f, err := openRegular(m.root, place)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), newMboxScanner(f, 0).begin()
}

// Subscriptions returns the names that Dovecot's file of subscriptions holds. ok: there is one.
func (m *Mbox) Subscriptions() (names []string, ok bool, err error) {
	if m.single != "" {
		return nil, false, nil
	}
	return readSubscriptions(m.root, ".subscriptions", "/")
}
