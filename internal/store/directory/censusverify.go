package directory

import (
	"bytes"
	"encoding/json"
	"fmt"

	"candor/internal/store/kv"
)

// census checks a row that the rest of the directory does not read: one of the census, or a trial.
func (d *verifier) census(p kv.Pair) {
	var err error
	switch p.Key[1] {
	case 'x':
		err = json.Unmarshal(p.Value, &mechanismRecord{})
	case 'y':
		_, err = parseMonth(p)
	case 'z':
		var o censusOwner
		if o, _, err = parseCensus(p); err == nil && o.account != 0 && d.state.accounts[o.account] == nil {
			d.ownerlessCensus(p, fmt.Sprintf("account %d", o.account))
		}
	}
	if err != nil {
		key := bytes.Clone(p.Key)
		d.report(kv.Finding{
			ID: "census-row", Severity: kv.SeverityWarning, Place: fmt.Sprintf("row %q of the census of logins", key),
			Seen: fmt.Sprintf("it cannot be read: %v", err), Wanted: "a row that can be read", Fix: "repair moves the row to lost+found", Mend: remove(key),
		})
	}
}

// ownerlessCensus reports what is known of the logins of an account that does not exist.
func (d *verifier) ownerlessCensus(p kv.Pair, place string) {
	d.report(kv.Finding{
		ID: "census-row", Severity: kv.SeverityWarning, Place: place, Seen: "logins of an account that does not exist",
		Wanted: "none", Fix: "repair removes them", Mend: remove(bytes.Clone(p.Key)),
	})
}

// trials checks that each trial has an account.
func (d *verifier) trials() {
	for k := range d.state.trials {
		if d.state.accounts[k.account] == nil {
			d.ownerlessCensus(kv.Pair{Key: k.record()}, fmt.Sprintf("trial without %s of account %d", k.mechanism, k.account))
		}
	}
}
