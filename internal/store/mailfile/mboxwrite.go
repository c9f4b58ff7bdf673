package mailfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// mboxWriter writes a mailbox as an mboxrd.
type mboxWriter struct {
	f        *os.File
	out      *bufio.Writer
	size     int64 // of whole messages
	place    string
	validity uint32
	last     uint32 // UID of the last message that is there
}

func openMboxWriter(root *os.Root, box Listed) (_ *mboxWriter, err error) {
	place, err := mboxPath(box.Name)
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(path.Dir(place), 0o700); err != nil {
		return nil, err
	}
	w := &mboxWriter{place: place, validity: box.UIDValidity}
	if w.f, err = root.OpenFile(place, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.f.Close()
		}
	}()
	if err := w.resume(root); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	if err := w.f.Truncate(w.size); err != nil {
		return nil, err
	}
	if _, err := w.f.Seek(w.size, io.SeekStart); err != nil {
		return nil, err
	}
	w.out = bufio.NewWriterSize(w.f, 64<<10)
	return w, nil
}

// resume finds the last whole message of an earlier run.
func (w *mboxWriter) resume(root *os.Root) error {
	info, err := w.f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	s := newMboxScanner(w.f, 0)
	if err := s.begin(); err != nil {
		return err
	}
	var last *mboxMessage
	for {
		m, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m.mark != nil && m.mark.UIDValidity != w.validity {
			return errors.New("it holds a mailbox that was deleted since: move the file away")
		}
		if w.size = m.at; m.mark != nil {
			w.last = m.mark.UID
		}
		last = m
	}
	if last == nil {
		return nil
	}
	w.last--
	if last.mark == nil {
		if w.size+maxMark < info.Size() {
			return errors.New("it holds messages that no export wrote: move the file away")
		}
		w.last++
		return nil // cut off within the mark
	}
	content, err := (&Mbox{root: root}).open(w.place, last)
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := io.Copy(io.Discard, content); err == nil && info.Size() == last.end+1 {
		w.size, w.last = info.Size(), last.mark.UID
	}
	return nil
}

// maxMark is more than a From_ line and the mark of an export take.
const maxMark = 4 << 10

// Has implements Writer. The flags stay as they were.
func (w *mboxWriter) Has(m Outgoing) (bool, error) { return m.UID <= w.last, nil }

// Write implements Writer.
func (w *mboxWriter) Write(m Outgoing, content io.Reader) error {
	bare, err := w.message(m, content)
	if err = errors.Join(err, w.out.Flush()); err != nil {
		// What is there of the message goes, so that the next one begins where it has to.
		_, seekErr := w.f.Seek(w.size, io.SeekStart)
		w.out.Reset(w.f)
		return errors.Join(err, w.f.Truncate(w.size), seekErr)
	}
	w.size, err = w.f.Seek(0, io.SeekCurrent)
	if err == nil && bare {
		return &Fault{fmt.Sprintf("%s, message %d", w.place, m.UID), errBareLF}
	}
	return err
}

func (w *mboxWriter) message(m Outgoing, content io.Reader) (bareLF bool, err error) {
	fmt.Fprint(w.out, formatFrom(m.Received), formatMark(mark{m.UID, w.validity, m.Size, m.Received}, m.Flags))
	lf := &lfWriter{w: w.out}
	q := &quoter{w: lf}
	if err := copyExactly(q, content, m.Size); err != nil {
		return false, err
	}
	if err := errors.Join(q.Close(), lf.Close()); err != nil {
		return false, err
	}
	end := "\n"
	if q.midLine {
		end = "\n\n"
	}
	_, err = w.out.WriteString(end)
	return lf.bare, err
}

// Close implements Writer.
func (w *mboxWriter) Close() error { return errors.Join(w.out.Flush(), w.f.Sync(), w.f.Close()) }
