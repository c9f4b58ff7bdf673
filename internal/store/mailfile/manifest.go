package mailfile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// manifestFile is what an export has beside the mail: a JSON object a line, first an Export, then a Listed for each
// mailbox.
const manifestFile = "candor-export"

// Export says whose mail an export holds.
type Export struct {
	Account string `json:"account"`
	Format  string `json:"format"` // "maildir" or "mbox"
}

// Listed is a mailbox in an export.
type Listed struct {
	Name        string `json:"mailbox"`
	UIDValidity uint32 `json:"uidvalidity"`
	SpecialUse  string `json:"special_use,omitempty"`
	Subscribed  bool   `json:"subscribed"`
	NoSelect    bool   `json:"noselect,omitempty"`
}

// readManifest reads the manifest. ok: there is one.
func readManifest(root *os.Root) (e Export, boxes []Listed, ok bool, err error) {
	f, err := openRegular(root, manifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil, false, nil
	}
	if err != nil {
		return e, nil, false, err
	}
	defer f.Close()
	in := json.NewDecoder(bufio.NewReader(f))
	if err := in.Decode(&e); err != nil {
		return e, nil, true, fmt.Errorf("reading %s: %w", manifestFile, err)
	}
	for in.More() {
		var b Listed
		if err := in.Decode(&b); err != nil {
			return e, nil, true, fmt.Errorf("reading %s: %w", manifestFile, err)
		}
		boxes = append(boxes, b)
	}
	return e, boxes, true, nil
}

// writeManifest writes the manifest in the place of an older one.
func writeManifest(root *os.Root, e Export, boxes []Listed) error {
	return replaceFile(root, manifestFile, func(w *bufio.Writer) error {
		out := json.NewEncoder(w)
		if err := out.Encode(e); err != nil {
			return err
		}
		for _, b := range boxes {
			if err := out.Encode(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// unfinished is what the name of a file ends in until it is whole.
const unfinished = ".new"

// replaceFile writes a file so that it is either the old one or the whole new one.
func replaceFile(root *os.Root, name string, write func(*bufio.Writer) error) error {
	f, err := root.OpenFile(name+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = errors.Join(write(w), w.Flush(), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return root.Rename(name+unfinished, name)
}

// describeFolders gives folders the special uses that the manifest knows.
func describeFolders(root *os.Root, folders []Folder) error {
	_, boxes, _, err := readManifest(root)
	for _, b := range boxes {
		for i := range folders {
			if folders[i].Name == b.Name {
				folders[i].SpecialUse = b.SpecialUse
			}
		}
	}
	return err
}
