package mailfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maildirWriter writes a mailbox as a folder of a Maildir++.
type maildirWriter struct {
	root     *os.Root
	folder   string
	validity uint32
	written  map[uint32]string // UID → file in cur, of an earlier run
	keywords []string
	known    int // keywords that are in the file
}

func openMaildirWriter(root *os.Root, box Listed) (*maildirWriter, error) {
	folder, err := maildirFolder(box.Name)
	if err != nil {
		return nil, err
	}
	w := &maildirWriter{root: root, folder: folder, validity: box.UIDValidity, written: map[uint32]string{}}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := root.MkdirAll(path.Join(folder, sub), 0o700); err != nil {
			return nil, err
		}
	}
	if folder != "." {
		f, err := root.OpenFile(path.Join(folder, "maildirfolder"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	if w.keywords, err = readKeywords(root, path.Join(folder, keywordsFile)); err != nil {
		return nil, err
	}
	w.keywords = slices.DeleteFunc(w.keywords, func(k string) bool { return k == "" }) // none: letters are given in order
	w.known = len(w.keywords)
	entries, err := list(root, path.Join(folder, "cur"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if uid, ok := w.uidOf(e.Name()); ok {
			w.written[uid] = e.Name()
		}
	}
	return w, nil
}

// base is the unique part of a message's name. It sorts by UID.
func (w *maildirWriter) base(uid uint32) string {
	return fmt.Sprintf("%d.M%dV%d.candor", w.validity, uid, w.validity)
}

func (w *maildirWriter) uidOf(name string) (uint32, bool) {
	var validity, uid uint32
	if n, err := fmt.Sscanf(name, "%d.M%dV", &validity, &uid); err != nil || n != 2 {
		return 0, false
	}
	return uid, validity == w.validity && unique(name) == w.base(uid)
}

// Has implements Writer. A file whose length is not that in its name was cut off by a crash of the machine.
func (w *maildirWriter) Has(m Outgoing) (bool, error) {
	name := w.written[m.UID]
	if name == "" {
		return false, nil
	}
	info, err := w.root.Stat(path.Join(w.folder, "cur", name))
	if err != nil {
		return false, err
	}
	if size, ok := sizeIn(name); !ok || size != info.Size() {
		return false, w.root.Remove(path.Join(w.folder, "cur", name))
	}
	head, _, _ := strings.Cut(name, ":")
	suffix, lost := infoOf(m.Flags, &w.keywords)
	if name != head+suffix {
		err = w.root.Rename(path.Join(w.folder, "cur", name), path.Join(w.folder, "cur", head+suffix))
	}
	return true, errors.Join(err, w.fault(m, lost, false))
}

// sizeIn reads S= in a file's name.
func sizeIn(name string) (int64, bool) {
	_, rest, ok := strings.Cut(name, ",S=")
	if !ok {
		return 0, false
	}
	if i := strings.IndexAny(rest, ",:"); i >= 0 {
		rest = rest[:i]
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	return n, err == nil
}

// Write implements Writer.
func (w *maildirWriter) Write(m Outgoing, content io.Reader) error {
	tmp := path.Join(w.folder, "tmp", w.base(m.UID))
	f, err := w.root.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	lf := &lfWriter{w: out}
	err = errors.Join(copyExactly(lf, content, m.Size), lf.Close(), out.Flush(), f.Close())
	if err != nil {
		return errors.Join(err, w.root.Remove(tmp))
	}
	if err := w.root.Chtimes(tmp, m.Received, m.Received); err != nil {
		return err
	}
	suffix, lost := infoOf(m.Flags, &w.keywords)
	name := fmt.Sprintf("%s,S=%d,W=%d%s", w.base(m.UID), lf.size, m.Size, suffix)
	if err := w.saveKeywords(); err != nil {
		return err
	}
	if err := w.root.Rename(tmp, path.Join(w.folder, "cur", name)); err != nil {
		return err
	}
	return w.fault(m, lost, lf.bare)
}

// fault says what of a message could not be written; nil: nothing.
func (w *maildirWriter) fault(m Outgoing, lost []string, bareLF bool) error {
	var err error
	if bareLF {
		err = errBareLF
	}
	if len(lost) > 0 {
		err = errors.Join(err, fmt.Errorf("a folder of a Maildir has room for %d keywords; left out: %s", maildirLetter, strings.Join(lost, " ")))
	}
	if err == nil {
		return nil
	}
	return &Fault{path.Join(w.folder, w.base(m.UID)), err}
}

// saveKeywords writes the list of keywords when there are new ones, before a name has their letters.
func (w *maildirWriter) saveKeywords() error {
	if w.known == len(w.keywords) {
		return nil
	}
	err := replaceFile(w.root, path.Join(w.folder, keywordsFile), func(out *bufio.Writer) error {
		for i, k := range w.keywords {
			fmt.Fprintln(out, i, k)
		}
		return nil
	})
	if err == nil {
		w.known = len(w.keywords)
	}
	return err
}

// Close implements Writer.
func (w *maildirWriter) Close() error { return w.saveKeywords() }
