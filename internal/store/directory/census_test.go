package directory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"candor/internal/mail"
	"candor/internal/proto/sasl"
	"candor/internal/store/kv"
)

// seenAt is an attempt as a door describes it.
func seenAt(s Service, mechanism, program, from string) Attempt {
	ports := map[Service]uint16{Submission: 587, IMAP: 143, POP3: 110}
	return Attempt{
		Service: s, Mechanism: mechanism, Program: program,
		Peer: mail.Peer{
			Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 4711), Local: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), ports[s]),
			Transport: mail.Transport{State: mail.EncryptedUnauthenticated, Version: "TLS1.3", Group: "x25519", SNI: "mail.example.org"},
		},
	}
}

// tryLogin logs in, or tries to.
func tryLogin(t testing.TB, d *Directory, a Attempt, login, password string) {
	t.Helper()
	_, _ = d.Login(t.Context(), overTLS(t), a, login, []byte(password))
}

func censusOf(t testing.TB, d *Directory, of string) []CensusRow {
	t.Helper()
	var a mail.Address
	if of != "" {
		a = addr(t, of)
	}
	rows, err := d.Census(t.Context(), a, time.Time{})
	must(t, err)
	return rows
}

// TestCensusRows: equal attempts of a day share a row, which has all that the specification names.
func TestCensusRows(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		phone := seenAt(IMAP, "PLAIN", "Mail/1", "198.51.100.9")
		began := time.Now().UTC().Truncate(time.Second)
		for range 3 {
			tryLogin(t, d, phone, "alice@example.org", "alice")
			time.Sleep(time.Second)
		}
		phone.Peer.Remote = netip.MustParseAddrPort("198.51.100.77:1") // the same network
		tryLogin(t, d, phone, "alice@example.org", "alice")
		rows := censusOf(t, d, "alice@example.org")
		want := CensusRow{
			First: began, Last: began.Add(3 * time.Second), Times: 4, Account: addr(t, "alice@example.org"), Credential: 1, Service: IMAP, Port: 143,
			Mechanism: "PLAIN", Offered: []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, Binding: "none", State: mail.EncryptedUnauthenticated,
			Version: "TLS1.3", Group: "x25519", SNI: "mail.example.org", Client: "Mail/1", Network: netip.MustParsePrefix("198.51.100.0/24"), Result: "ok",
		}
		if len(rows) != 1 || fmt.Sprintf("%+v", rows[0]) != fmt.Sprintf("%+v", want) {
			t.Fatalf("rows\n%+v, want\n%+v", rows, want)
		}
		time.Sleep(24 * time.Hour)
		tryLogin(t, d, phone, "alice@example.org", "alice")
		tryLogin(t, d, phone, "alice@example.org", "wrong")
		phone.Program = "Other/2"
		tryLogin(t, d, phone, "alice@example.org", "alice")
		if rows := censusOf(t, d, "alice@example.org"); len(rows) != 4 {
			t.Errorf("%d rows after another day, a wrong password and another program: %+v", len(rows), rows)
		}
	})
}

// TestCensusOfStrangers: names that are nobody's are not kept, but their hash while it is the only one of its row.
func TestCensusOfStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		a := seenAt(Submission, "LOGIN", "desktop-7", "203.0.113.5")
		tryLogin(t, d, a, "carol@example.org", "x")
		tryLogin(t, d, a, "carol@example.org", "x")
		rows := censusOf(t, d, "")
		if len(rows) != 1 || rows[0].Times != 2 || len(rows[0].Name) != 16 || rows[0].Reason != "unknown" || rows[0].Client != "EHLO name" {
			t.Fatalf("%+v", rows)
		}
		tryLogin(t, d, a, "dave@example.org", "x")
		if rows := censusOf(t, d, ""); len(rows) != 1 || rows[0].Times != 3 || rows[0].Name != "" {
			t.Errorf("%+v", rows)
		}
		_, err := d.StartSASL(t.Context(), overTLS(t), seenAt(IMAP, "digest-md5", "", "203.0.113.5"))
		wantKind(t, "DIGEST-MD5", err, mail.Unsupported)
		_, err = d.StartSASL(t.Context(), overTLS(t), seenAt(IMAP, "MADE-UP", "", "203.0.113.5"))
		wantKind(t, "a made up mechanism", err, mail.Unsupported)
		var methods []string
		for _, r := range censusOf(t, d, "") {
			methods = append(methods, r.Mechanism+" "+r.Reason)
		}
		slices.Sort(methods)
		if want := []string{"DIGEST-MD5 not-offered", "LOGIN unknown", "other not-offered"}; !slices.Equal(methods, want) {
			t.Errorf("methods %q, want %q", methods, want)
		}
	})
}

// TestCensusIsBounded: an attack from everywhere, and a program that never has the same name, leave a bounded number of
// rows in which every attempt is counted.
func TestCensusIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const attempts = 6000
		from := netip.MustParseAddr("10.0.0.1").As4()
		for i := range attempts {
			from[1], from[2] = byte(i>>8), byte(i)
			a := seenAt(IMAP, "PLAIN", "", netip.AddrFrom4(from).String())
			d.noteCensus(outcome{attempt: a, login: fmt.Sprintf("user%d@example.org", i), err: refuse(reasonUnknown, nil)})
			d.noteCensus(outcome{attempt: a, login: "bob@example.org", err: refuse(reasonWrong, nil)})
			d.census.mu.Lock()
			rows := d.census.rows
			d.census.mu.Unlock()
			if rows > maxPendingRows {
				t.Fatalf("%d rows in memory", rows)
			}
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		for i := range 300 {
			tryLogin(t, d, seenAt(IMAP, "PLAIN", fmt.Sprint("Changing/", i), "198.51.100.9"), "alice@example.org", "alice")
		}
		var times int64
		count := map[string]int{}
		for _, r := range censusOf(t, d, "") {
			times += r.Times
			count[r.Account.String()]++
		}
		if lost := d.Stats().CensusLost; times != 2*attempts+300 || lost != 0 {
			t.Errorf("%d attempts are known and %d lost, of %d", times, lost, 2*attempts+300)
		}
		if count["alice@example.org"] > maxLoginRows+1 || count["bob@example.org"] > maxRefusedRows+1 || len(count) != 3 || count[mail.Address{}.String()] > maxStrangerRows+2 {
			t.Errorf("rows: %v", count)
		}
	})
}

// TestCensusSurvives: what was written is there after the store was opened again, and none of it in memory.
func TestCensusSurvives(t *testing.T) {
	db, err := kv.Open(t.Context(), kv.Options{Dir: t.TempDir()})
	must(t, err)
	defer db.Close()
	d, err := Open(t.Context(), db, Options{Hostname: testHost, Cost: cheap})
	must(t, err)
	must(t, d.AddDomain(t.Context(), "example.org"))
	_, err = d.AddAccount(t.Context(), addr(t, "alice@example.org"), "alice")
	must(t, err)
	tryLogin(t, d, seenAt(IMAP, "PLAIN", "Mail/1", "198.51.100.9"), "alice@example.org", "alice")
	must(t, d.Close())
	d, err = Open(t.Context(), db, Options{Hostname: testHost, Cost: cheap})
	must(t, err)
	defer d.Close()
	if rows := censusOf(t, d, "alice@example.org"); len(rows) != 1 || rows[0].Times != 1 {
		t.Errorf("%+v", rows)
	}
	if r := d.census.methods["PLAIN"]; r == nil || r.Used.IsZero() {
		t.Errorf("PLAIN was used: %+v", r)
	}
	_, err = d.RemoveAccount(t.Context(), addr(t, "alice@example.org"), nil)
	must(t, err)
	if rows := censusOf(t, d, ""); len(rows) != 0 {
		t.Errorf("after the account was removed: %+v", rows)
	}
}

// TestCensusAges: after 90 days only counts are left that name nobody.
func TestCensusAges(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		for day := range 100 {
			tryLogin(t, d, seenAt(IMAP, "PLAIN", fmt.Sprint("Mail/", day%2), "198.51.100.9"), "alice@example.org", "alice")
			tryLogin(t, d, seenAt(POP3, "PLAIN", "", "203.0.113.5"), "nobody", "x")
			time.Sleep(24 * time.Hour)
		}
		must(t, d.sweepCensus(t.Context()))
		rows := censusOf(t, d, "")
		if len(rows) != 2*90 {
			t.Errorf("%d rows, want those of 90 days", len(rows))
		}
		months, err := d.CensusMonths(t.Context())
		must(t, err)
		var times int64
		for _, m := range months {
			times += m.Times
			if m.Domain != "example.org" && m.Reason != "unknown" {
				t.Errorf("%+v", m)
			}
		}
		if times != 2*10 {
			t.Errorf("%d attempts in %+v, want those of 10 days", times, months)
		}
	})
}

// TestIntroduced: a program that gives its name after the login has it in the census.
func TestIntroduced(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		a := seenAt(IMAP, "PLAIN", "", "198.51.100.9")
		account, err := d.Login(t.Context(), overTLS(t), a, "alice@example.org", []byte("alice"))
		must(t, err)
		tryLogin(t, d, a, "alice@example.org", "alice")
		a.Program = "Thunderbird/128"
		d.Introduced(account.ID, a)
		d.Introduced(account.ID, a)
		d.Introduced(account.ID, a)
		rows := censusOf(t, d, "alice@example.org")
		if len(rows) != 1 || rows[0].Client != "Thunderbird/128" || rows[0].Times != 2 {
			t.Errorf("%+v", rows)
		}
	})
}

// TestCensusOffTheWay: a store that hangs holds up no login.
func TestCensusOffTheWay(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		db := d.db.(*memDB)
		tryLogin(t, d, seenAt(IMAP, "PLAIN", "", "198.51.100.9"), "alice@example.org", "alice")
		db.mu.Lock()
		started := time.Now()
		tryLogin(t, d, seenAt(IMAP, "PLAIN", "x", "198.51.100.9"), "alice@example.org", "alice")
		if took := time.Since(started); took != 0 {
			t.Errorf("a login took %v", took)
		}
		db.mu.Unlock()
	})
}

// TestRetire: a mechanism that nobody uses is not offered after the time that the operator has set and a notice;
// it comes back with the setting's end.
func TestRetire(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const day = 24 * time.Hour
		offered := func() []string { return d.Mechanisms(testAttempt(IMAP, "")) }
		d.SetPolicy(Policy{AutoRetire: 60 * day})
		for range 61 { // LOGIN is used, SCRAM-SHA-256 is not
			must(t, second(login(t, d, IMAP, sasl.Login, "alice@example.org", "alice")))
			time.Sleep(day)
		}
		if got := offered(); !slices.Contains(got, sasl.ScramSHA256) {
			t.Fatalf("retired without a notice: %q", got)
		}
		alarms := d.Retirements()
		if len(alarms) != 2 || alarms[0].Stage != "noticed" || alarms[0].Subject != sasl.ScramSHA256 {
			t.Fatalf("alarms: %+v", alarms)
		}
		for range 8 {
			must(t, second(login(t, d, IMAP, sasl.Login, "alice@example.org", "alice")))
			time.Sleep(day)
		}
		if got, want := offered(), []string{sasl.Plain, sasl.Login}; !slices.Equal(got, want) {
			t.Errorf("offered %q, want %q", got, want)
		}
		_, err := d.StartSASL(t.Context(), overTLS(t), testAttempt(IMAP, sasl.ScramSHA256))
		wantKind(t, "a retired mechanism", err, mail.Unsupported)
		if got, want := wordsOf(d, IMAP, sasl.ScramSHA256), "not offered because nobody has used it since 2000-01-01 ([auth] auto_retire)"; got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
		d.SetPolicy(Policy{})
		if got := offered(); !slices.Contains(got, sasl.ScramSHA256) || len(d.Retirements()) != 0 {
			t.Errorf("without auto_retire: %q, %+v", got, d.Retirements())
		}
	})
}

// TestRetireNeedsUse: SCRAM, which is not offered for the sake of one account, is not unused for that.
func TestRetireNeedsUse(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const day = 24 * time.Hour
		alice := addr(t, "alice@example.org")
		must(t, withoutScram(t.Context(), d, alice))
		d.SetPolicy(Policy{AutoRetire: 60 * day})
		time.Sleep(100 * day)
		must(t, d.SetPassword(t.Context(), alice, "alice"))
		time.Sleep(59 * day)
		if got := d.Mechanisms(testAttempt(IMAP, "")); !slices.Contains(got, sasl.ScramSHA256) || slices.Contains(got, sasl.Login) {
			t.Errorf("offered: %q", got)
		}
		for _, a := range d.Retirements() {
			if a.Subject != sasl.Login {
				t.Errorf("%+v", a)
			}
		}
		must(t, d.SetRequirement(t.Context(), alice, RequireScram))
		time.Sleep(100 * day)
		if got := d.Mechanisms(testAttempt(IMAP, "")); !slices.Contains(got, sasl.ScramSHA256) {
			t.Errorf("not offered although an account requires SCRAM: %q", got)
		}
		must(t, d.SetRequirement(t.Context(), alice, RequirePlainOK))
		time.Sleep(70 * day)
		if got := d.Mechanisms(testAttempt(IMAP, "")); slices.Contains(got, sasl.ScramSHA256) {
			t.Errorf("offered although nobody uses it: %q", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestTrial: a trial hides a mechanism from the networks of one account, until it ends.
func TestTrial(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		ctx := context.Background()
		at := func(from string) []string { return d.Mechanisms(seenAt(IMAP, "", "", from)) }
		_, err := d.StartTrial(ctx, addr(t, "alice@example.org"), sasl.Login, time.Hour)
		wantKind(t, "an account that never logged in", err, mail.NotFound)
		tryLogin(t, d, seenAt(IMAP, "LOGIN", "", "198.51.100.9"), "alice@example.org", "alice")
		_, err = d.StartTrial(ctx, addr(t, "alice@example.org"), "DIGEST-MD5", time.Hour)
		wantKind(t, "what is not offered", err, mail.Syntax)
		trial, err := d.StartTrial(ctx, addr(t, "Alice@example.org"), "login", 24*time.Hour)
		must(t, err)
		if got := at("198.51.100.200"); slices.Contains(got, sasl.Login) || !slices.Contains(got, sasl.Plain) {
			t.Errorf("in the network of the trial %+v: %q", trial, got)
		}
		if got := at("203.0.113.1"); !slices.Contains(got, sasl.Login) {
			t.Errorf("elsewhere: %q", got)
		}
		if got, want := wordsOf(d, POP3, sasl.Login), "offered, but not to 198.51.100.0/24 until 2000-01-02 00:00 UTC (trial of alice@example.org)"; got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
		time.Sleep(25 * time.Hour)
		if got := at("198.51.100.200"); !slices.Contains(got, sasl.Login) {
			t.Errorf("after its end: %q", got)
		}
		if all, err := d.Trials(ctx); err != nil || len(all) != 1 || all[0].Mechanism != "LOGIN" {
			t.Errorf("trials: %+v, %v", all, err)
		}
		if got := wordsOf(d, POP3, sasl.Login); got != "offered" {
			t.Errorf("after its end it is %q", got)
		}
		wantKind(t, "ending it twice", d.EndTrial(ctx, addr(t, "alice@example.org"), "LOGIN"), mail.NotFound)
	})
}

// TestTrialOfCommand: LOGIN of IMAP and USER of POP3 can be tried without like mechanisms, for that is what census proposes.
func TestTrialOfCommand(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory) {
		const alice = "alice@example.org"
		at := func(s Service, command, from string) string {
			a := seenAt(s, command, "", from)
			account, err := d.Login(t.Context(), overTLS(t), a, alice, []byte("alice"))
			if got := result(account, err); d.Hidden(a) != (got == "not-offered") {
				t.Errorf("%s is hidden: %t, but a login by it is %q", command, d.Hidden(a), got)
			}
			return result(account, err)
		}
		elsewhere := map[string]string{IMAPLogin: "203.0.113.1", POP3User: "192.0.2.1"}
		for _, command := range passwordCommands {
			s := map[string]Service{IMAPLogin: IMAP, POP3User: POP3}[command]
			if got := at(s, command, "198.51.100.9"); got != alice {
				t.Errorf("before: %s", got)
			}
			must(t, second(d.StartTrial(t.Context(), addr(t, alice), command, time.Hour)))
			if got := at(s, command, "198.51.100.10"); got != "not-offered" {
				t.Errorf("%s in the trial: %s", command, got)
			}
			if got := at(s, command, elsewhere[command]); got != alice {
				t.Errorf("%s elsewhere: %s", command, got)
			}
			if got := wordsOf(d, s, command); !strings.HasPrefix(got, "offered, but not to 198.51.100.0/24") {
				t.Errorf("it is %q", got)
			}
		}
		d.Withhold([]string{IMAPLogin})
		if got := wordsOf(d, IMAP, IMAPLogin) + wordsOf(d, Submission, IMAPLogin); got != "not offered because [auth] remove names it" {
			t.Errorf("removed: %q", got)
		}
	})
}

// wordsOf is what is said of a method.
func wordsOf(d *Directory, s Service, method string) string {
	for _, o := range d.Offers(s) {
		if o.Mechanism == method {
			return o.Words()
		}
	}
	return ""
}
