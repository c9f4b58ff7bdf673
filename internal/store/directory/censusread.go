package directory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"candor/internal/mail"
	"candor/internal/store/kv"
)

// Census returns what is known of the attempts to log in since then, which counts from the beginning of its day (UTC):
// those of one account or, of the zero Address, all. The newest come first.
//
// Errors: NotFound.
func (d *Directory) Census(ctx context.Context, of mail.Address, since time.Time) ([]CensusRow, error) {
	var only *account
	names := map[mail.AccountID]mail.Address{}
	d.view(func(s *state) {
		only = s.addresses[canonical(of)]
		for id, a := range s.accounts {
			names[id] = a.Address
		}
	})
	if only == nil && of != (mail.Address{}) {
		return nil, noAccount(of)
	}
	if err := d.writeCensus(ctx); err != nil {
		return nil, err
	}
	var all []CensusRow
	err := d.db.View(ctx, func(r kv.Reader) error {
		all = nil
		accounts, err := censusAccounts(r)
		if only != nil {
			accounts = []mail.AccountID{only.id}
		}
		for _, id := range accounts {
			from := censusOwner{id, dayOf(since)}.prefix()
			for p, err := range r.Scan(from, kv.PrefixEnd(censusPrefix(id))) {
				if err != nil {
					return err
				}
				if _, record, err := parseCensus(p); err == nil { // else verify tells of it
					all = append(all, record.row(names[id]))
				}
			}
		}
		return err
	})
	slices.SortFunc(all, func(a, b CensusRow) int {
		return cmp.Or(b.Last.Compare(a.Last), byDomain(a.Account, b.Account), cmp.Compare(a.Mechanism, b.Mechanism))
	})
	return all, err
}
