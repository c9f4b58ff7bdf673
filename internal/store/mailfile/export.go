package mailfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Outgoing is a message to be written.
type Outgoing struct {
	UID      uint32
	Size     int64 // octets
	Flags    []string
	Received time.Time
}

// Writer writes one mailbox. Messages come in the order of their UIDs.
type Writer interface {
	// Has reports whether an earlier run has written a message, and brings its flags up to date where it can.
	Has(m Outgoing) (bool, error)
	// Write writes a message. A Fault means that the message is written, but not wholly as it is; after another
	// error it is not written. An error of content is returned as it is.
	Write(m Outgoing, content io.Reader) error
	Close() error
}

// Target is a folder that an export is written into.
type Target struct {
	root *os.Root
	e    Export
}

// errNotEmpty protects what an export has not written.
var errNotEmpty = errors.New("the folder is not empty and holds no export: name an empty or a new one")

// NewTarget opens a folder for an export, and makes it if need be. A folder that holds an older export of the same
// account is gone on with.
func NewTarget(path string, e Export) (_ *Target, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	t := &Target{e: e}
	if t.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.root.Close()
		}
	}()
	old, _, found, err := readManifest(t.root)
	if err != nil {
		return nil, err
	}
	if found && old != e {
		return nil, fmt.Errorf("%s holds the mail of %s as %s: name another folder", path, old.Account, old.Format)
	}
	if !found {
		entries, err := list(t.root, ".")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name() == manifestFile+unfinished { // of an export that was cut off at once
				continue
			}
			return nil, fmt.Errorf("%s: %w", path, errNotEmpty)
		}
	}
	return t, nil
}

// Begin notes what is to be exported, so that an export that is cut off can be gone on with.
func (t *Target) Begin(boxes []Listed) error {
	if err := writeManifest(t.root, t.e, boxes); err != nil {
		return err
	}
	file := "subscriptions"
	if t.e.Format == "mbox" {
		file = ".subscriptions"
	}
	return replaceFile(t.root, file, func(w *bufio.Writer) error {
		fmt.Fprint(w, "V\t2\n\n")
		for _, b := range boxes {
			if !b.Subscribed {
				continue
			}
			var levels []string
			for part := range strings.SplitSeq(b.Name, "/") {
				level, err := encodePart(part, func(int) bool { return t.e.Format == "maildir" })
				if err != nil {
					return err
				}
				levels = append(levels, level)
			}
			fmt.Fprintln(w, strings.Join(levels, "\t"))
		}
		return nil
	})
}

// Open begins a mailbox.
func (t *Target) Open(box Listed) (Writer, error) {
	if t.e.Format == "mbox" {
		return openMboxWriter(t.root, box)
	}
	return openMaildirWriter(t.root, box)
}

// Close makes everything durable and closes the folder.
func (t *Target) Close() error {
	f, err := t.root.Open(".")
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	return errors.Join(err, t.root.Close())
}

// copyExactly copies content, which must have the size that was said.
func copyExactly(w io.Writer, content io.Reader, size int64) error {
	n, err := io.Copy(w, content)
	if err == nil && n != size {
		err = fmt.Errorf("the message has %d octets in place of %d", n, size)
	}
	return err
}

var errBareLF = errors.New("the message holds a LF without CR, which is read back as CRLF")
