package mailbox

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// imports makes n messages with the keys from, from+1 and so on.
func (f *fixture) imports(from, n int, flags ...string) []Import {
	f.t.Helper()
	all := make([]Import, n)
	for i := range all {
		m, err := f.store.Prepare(f.t.Context(), f.message(fmt.Sprintf("Subject: %d\n\n", from+i), flags...))
		f.must(err)
		all[i].Key[0], all[i].Message = byte(from+i), m
	}
	return all
}

func importedUIDs(done []Imported) (uids []UID) {
	for _, d := range done {
		uids = append(uids, d.UID)
	}
	return uids
}

func TestImportTakesAMessageOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inbox := f.id("INBOX")
	done, err := f.a.Import(t.Context(), inbox, f.imports(1, 3, `\Seen`))
	f.must(err)
	f.wantUIDs("first", importedUIDs(done), 1, 2, 3)
	// Interrupted and begun anew: some keys are known.
	done, err = f.a.Import(t.Context(), inbox, f.imports(2, 3))
	f.must(err)
	f.wantUIDs("second", importedUIDs(done), 0, 0, 4)
	// What was expunged stays away.
	_, err = f.session("INBOX").Move(t.Context(), []UID{1}, f.id("Trash"))
	f.must(err)
	done, err = f.a.Import(t.Context(), inbox, f.imports(1, 1))
	f.must(err)
	f.wantUIDs("expunged", importedUIDs(done), 0)
	had, err := f.a.HasImported(t.Context(), inbox, []ImportKey{{1}, {4}, {5}})
	f.must(err)
	if !slices.Equal(had, []bool{true, true, false}) {
		t.Errorf("had %v", had)
	}
	// Another mailbox knows nothing of it, and this one after ForgetImports.
	done, err = f.a.Import(t.Context(), f.id("Archive"), f.imports(1, 1))
	f.must(err)
	f.wantUIDs("elsewhere", importedUIDs(done), 1)
	f.must(f.a.ForgetImports(t.Context(), inbox))
	done, err = f.a.Import(t.Context(), inbox, f.imports(1, 1))
	f.must(err)
	f.wantUIDs("forgotten", importedUIDs(done), 5)
	f.checkMailbox("INBOX")
}

// TestImportsAtOnce: however many take the same mail at the same time, it comes once.
func TestImportsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inbox, batches := f.id("INBOX"), make([][]Import, 4)
	for i := range batches {
		batches[i] = f.imports(1, 20)
	}
	var wg sync.WaitGroup
	for _, b := range batches {
		wg.Go(func() {
			if _, err := f.a.Import(t.Context(), inbox, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	st, err := f.a.Status(t.Context(), inbox)
	f.must(err)
	if st.Messages != 20 {
		t.Errorf("%d messages, want 20", st.Messages)
	}
	f.checkMailbox("INBOX")
}

func TestImportWithoutRoomForKeywords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var flags []string
	for i := range MaxKeywords + 1 {
		flags = append(flags, fmt.Sprint("k", i))
	}
	done, err := f.a.Import(t.Context(), f.id("INBOX"), f.imports(1, 1, append(flags, `\Flagged`)...))
	f.must(err)
	if !done[0].KeywordsLost {
		t.Error("nothing is said of the keyword that found no room")
	}
	f.wantFlags(f.session("INBOX"), 1, append([]string{`\Flagged`}, flags[:MaxKeywords]...)...)
}

func TestDeletedMailboxForgetsImports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.a.Create(t.Context(), "old", "")
	f.must(err)
	id := f.id("old")
	_, err = f.a.Import(t.Context(), id, f.imports(1, 1))
	f.must(err)
	f.must(f.a.Delete(t.Context(), "old"))
	f.must(f.store.sweepAll(t.Context()))
	had, err := f.a.HasImported(t.Context(), id, []ImportKey{{1}})
	f.must(err)
	if had[0] {
		t.Error("the key outlives its mailbox")
	}
}
