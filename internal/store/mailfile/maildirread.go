package mailfile

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Messages calls f for each message of a folder in the order in which their names were given, which is that of
// their arrival. Files that are none are told to bad. An error of f ends it.
func (m *Maildir) Messages(folder Folder, bad func(*Fault), f func(*Message) error) error {
	keywords, err := readKeywords(m.root, path.Join(folder.Path, keywordsFile))
	if err != nil {
		bad(&Fault{path.Join(folder.Path, keywordsFile), err})
	}
	files := m.files(folder.Path, bad)
	slices.SortFunc(files, byArrival)
	for _, file := range files {
		message := &Message{
			Place: file, Key: maildirKey(path.Base(file)), Weight: 1,
			Open: func() (*Content, error) { return m.open(file, keywords) },
		}
		if err := f(message); err != nil {
			return err
		}
	}
	return nil
}

// files returns the paths of a folder's messages.
func (m *Maildir) files(folder string, bad func(*Fault)) []string {
	var files []string
	for _, sub := range []string{"cur", "new"} {
		entries, err := list(m.root, path.Join(folder, sub))
		if err != nil {
			bad(&Fault{path.Join(folder, sub), err})
			continue
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				files = append(files, path.Join(folder, sub, e.Name()))
			}
		}
	}
	return files
}

// byArrival compares the names of files: "seconds.Mmicroseconds…" as numbers, then as text.
func byArrival(a, b string) int {
	a, b = path.Base(a), path.Base(b)
	aSeconds, aRest := leadingNumber(a)
	bSeconds, bRest := leadingNumber(b)
	aMicros, aRest := leadingNumber(strings.TrimPrefix(aRest, ".M"))
	bMicros, bRest := leadingNumber(strings.TrimPrefix(bRest, ".M"))
	return cmp.Or(cmp.Compare(aSeconds, bSeconds), cmp.Compare(aMicros, bMicros), cmp.Compare(aRest, bRest))
}

func leadingNumber(s string) (int, string) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(s)
	}
	n, _ := strconv.Atoi(s[:i])
	return n, s[i:]
}

// unique is the part of a file's name that is the message's own and stays the same: flags come after ":", sizes
// after ",".
func unique(name string) string {
	if i := strings.IndexAny(name, ":,"); i > 0 {
		return name[:i]
	}
	return name
}

func maildirKey(name string) (key [16]byte) {
	sum := sha256.Sum256([]byte("maildir\x00" + unique(name)))
	copy(key[:], sum[:])
	return key
}

// open opens a message, under another name if its flags have changed since it was found.
func (m *Maildir) open(file string, keywords []string) (*Content, error) {
	f, err := openRegular(m.root, file)
	if errors.Is(err, fs.ErrNotExist) {
		if file = m.renamed(file); file == "" {
			return nil, ErrGone
		}
		f, err = openRegular(m.root, file)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Content{
		ReadCloser: contentOf(newCRLFReader(f), f),
		Flags:      flagsOf(path.Base(file), keywords), Received: info.ModTime(),
	}, nil
}

// renamed finds the file that file has become; empty: none.
func (m *Maildir) renamed(file string) string {
	folder := path.Dir(path.Dir(file))
	for _, sub := range []string{"cur", "new"} {
		entries, err := list(m.root, path.Join(folder, sub))
		if err != nil {
			return ""
		}
		for _, e := range entries {
			if unique(e.Name()) == unique(path.Base(file)) {
				return path.Join(folder, sub, e.Name())
			}
		}
	}
	return ""
}

// openRegular opens a regular file within root. Anything else, such as a pipe that would block, is an error.
func openRegular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoRegular
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
