package mailtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"candor/internal/mail"
)

// ErrorRow is how docs/errors.md says that a kind of failure with its usual status is answered.
type ErrorRow struct{ Status, SMTP, IMAP, POP3, HTTP, Queue string }

// ErrorTable reads the table of docs/errors.md. Of a cell it takes what comes before the first
// semicolon; what follows is for other statuses.
func ErrorTable(t *testing.T) map[mail.Kind]ErrorRow {
	t.Helper()
	kinds := map[string]mail.Kind{}
	for _, k := range mail.Kinds() {
		kinds[k.String()] = k
	}
	table := map[mail.Kind]ErrorRow{}
	for line := range strings.Lines(Document(t, "docs/errors.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 9 {
			continue
		}
		for i, c := range cells {
			c, _, _ = strings.Cut(c, ";")
			cells[i] = strings.Trim(c, " `")
		}
		if k, known := kinds[cells[1]]; known {
			table[k] = ErrorRow{cells[2], cells[3], cells[4], cells[5], cells[6], cells[7]}
		}
	}
	if len(table) != len(kinds) {
		t.Fatalf("docs/errors.md has rows for %d of %d kinds", len(table), len(kinds))
	}
	return table
}

// Document returns the text of a file of the project, by its path from the root.
func Document(t testing.TB, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
